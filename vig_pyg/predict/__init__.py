"""From pictures to classes: reading any picture, predicting, evaluating."""

from pathlib import Path

import numpy as np
from PIL import Image

from vig_pyg.image_io import UnreadableImageError as BrokenPictureError
from vig_pyg.image_io import find_images as find_pictures
from vig_pyg.image_io import read_image, with_channels
from vig_pyg.predict.evaluate import Evaluation, evaluate
from vig_pyg.predict.folder import LabeledPictures, find_labeled
from vig_pyg.predict.predict import Broken, Prediction, predict
from vig_pyg.predict.source import PictureClassifier, load_classifier

__all__ = [
    "Broken",
    "BrokenPictureError",
    "Evaluation",
    "LabeledPictures",
    "PictureClassifier",
    "Prediction",
    "evaluate",
    "find_labeled",
    "find_pictures",
    "load_classifier",
    "predict",
    "read_picture",
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
