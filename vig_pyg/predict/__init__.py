"""From pictures to classes: reading any picture, predicting, evaluating."""

from vig_pyg.predict.evaluate import Evaluation, evaluate
from vig_pyg.predict.folder import LabelledPictures, find_labelled
from vig_pyg.predict.pictures import BrokenPictureError, find_pictures, read_picture
from vig_pyg.predict.predict import Broken, Prediction, predict
from vig_pyg.predict.source import PictureClassifier, load_classifier

__all__ = [
    "Broken",
    "BrokenPictureError",
    "Evaluation",
    "LabelledPictures",
    "PictureClassifier",
    "Prediction",
    "evaluate",
    "find_labelled",
    "find_pictures",
    "load_classifier",
    "predict",
    "read_picture",
]
