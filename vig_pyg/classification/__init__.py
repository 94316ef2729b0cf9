"""Training, prediction and evaluation of classifiers. Training needs the extra `train`."""

from typing import TYPE_CHECKING, Any

from vig_pyg._lazy import imports_when_used, names_of
from vig_pyg._requirements import require_training

if TYPE_CHECKING:
    from vig_pyg.classification.config import Augmentation, ClassificationConfig
    from vig_pyg.classification.data import ImageData
    from vig_pyg.classification.evaluation import Evaluation, evaluate
    from vig_pyg.classification.labels import LabeledImages, find_labeled
    from vig_pyg.classification.load import ImageClassifier, Prediction, load_classifier
    from vig_pyg.classification.loading import load_data
    from vig_pyg.classification.networks import make_model
    from vig_pyg.classification.prediction import UnreadableImage, predict
    from vig_pyg.classification.presets import PRESETS, load_config, read_yaml, to_yaml
    from vig_pyg.classification.sources import (
        CifarData,
        CollectionData,
        CsvData,
        DigitsData,
        FolderData,
        list_sources,
        register_source,
    )
    from vig_pyg.image_io import find_images

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

#: The public names of each module.
_MODULES = {
    "vig_pyg.classification.evaluation": ("Evaluation", "evaluate"),
    "vig_pyg.classification.labels": ("LabeledImages", "find_labeled"),
    "vig_pyg.classification.load": ("ImageClassifier", "Prediction", "load_classifier"),
    "vig_pyg.classification.prediction": ("UnreadableImage", "predict"),
    "vig_pyg.image_io": ("find_images",),
}
#: Those that need the extra `train`.
_TRAINING = {
    "vig_pyg.classification.config": ("Augmentation", "ClassificationConfig"),
    "vig_pyg.classification.data": ("ImageData",),
    "vig_pyg.classification.loading": ("load_data",),
    "vig_pyg.classification.networks": ("make_model",),
    "vig_pyg.classification.presets": ("PRESETS", "load_config", "read_yaml", "to_yaml"),
    "vig_pyg.classification.sources": (
        "CifarData",
        "CollectionData",
        "CsvData",
        "DigitsData",
        "FolderData",
        "list_sources",
        "register_source",
    ),
}

_import = imports_when_used(__name__, _MODULES | _TRAINING)


def __getattr__(name: str) -> Any:
    """Import the names when they are first used; an error names the extra if it is missing."""
    if any(name in names for names in _TRAINING.values()):
        require_training()
    return _import(name)


def __dir__() -> list[str]:
    return names_of(globals())
