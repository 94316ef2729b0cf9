"""Classification: training, predicting, evaluating. Training needs the extra `train`."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vig_pyg.classification.evaluate import Evaluation, evaluate
from vig_pyg.classification.labels import LabeledImages, find_labeled
from vig_pyg.classification.load import ImageClassifier, Prediction, load_classifier
from vig_pyg.classification.predict import UnreadableImage, predict
from vig_pyg.image_io import UnreadableImageError as BrokenPictureError
from vig_pyg.image_io import find_images as find_pictures
from vig_pyg.image_io import read_image, with_channels

#: Files of the names that need the extra `train`.
_TRAINING = {
    "Augmentation": "config",
    "PRESETS": "presets",
    "ClassificationConfig": "config",
    "ImageData": "data",
    "load_config": "presets",
    "read_yaml": "presets",
    "to_yaml": "presets",
    "load_data": "loading",
    "CifarData": "sources",
    "CsvData": "sources",
    "DigitsData": "sources",
    "FolderData": "sources",
    "list_sources": "sources",
    "register_source": "sources",
    "make_model": "networks",
}

__all__ = [
    "PRESETS",
    "Augmentation",
    "BrokenPictureError",
    "CifarData",
    "ClassificationConfig",
    "CsvData",
    "DigitsData",
    "Evaluation",
    "FolderData",
    "ImageClassifier",
    "ImageData",
    "LabeledImages",
    "Prediction",
    "UnreadableImage",
    "evaluate",
    "find_labeled",
    "find_pictures",
    "list_sources",
    "load_classifier",
    "load_config",
    "load_data",
    "make_model",
    "predict",
    "read_picture",
    "read_yaml",
    "register_source",
    "to_yaml",
]


def read_picture(path: str | Path) -> Image.Image:
    """An image file as `read_image` reads it, in mode `RGB`, on white where it is transparent.

    Raises:
        BrokenPictureError: If it cannot be read, or is an array.
        FileNotFoundError: If there is no such file.
    """
    image = read_image(path)
    if isinstance(image, np.ndarray):
        raise BrokenPictureError("it is an array of NumPy, expected an image file")
    return with_channels(image, 3)


def __getattr__(name: str) -> Any:
    """Import the names that need the extra `train` when they are first used."""
    if name not in _TRAINING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("vig_pyg.engine")  # names the extra where it is missing
    return getattr(import_module(f"{__name__}.{_TRAINING[name]}"), name)
