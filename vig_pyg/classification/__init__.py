"""Training, prediction and evaluation of classifiers. Training needs the extra `train`."""

from importlib import import_module
from typing import Any

from vig_pyg.classification.evaluate import Evaluation, evaluate
from vig_pyg.classification.labels import LabeledImages, find_labeled
from vig_pyg.classification.load import ImageClassifier, Prediction, load_classifier
from vig_pyg.classification.predict import UnreadableImage, predict
from vig_pyg.image_io import find_images

#: The modules of the names that need the extra `train`.
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
    "CollectionData": "sources",
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
    "CifarData",
    "ClassificationConfig",
    "CollectionData",
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
    "find_images",
    "find_labeled",
    "list_sources",
    "load_classifier",
    "load_config",
    "load_data",
    "make_model",
    "predict",
    "read_yaml",
    "register_source",
    "to_yaml",
]


def __getattr__(name: str) -> Any:
    """Import the names for training when they are first used."""
    if name not in _TRAINING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("vig_pyg.engine")  # the error names the extra if it is missing
    return getattr(import_module(f"{__name__}.{_TRAINING[name]}"), name)
