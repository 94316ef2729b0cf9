"""The images and the detector that a configuration names."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning

from vig_pyg._io.bounded_yaml import read_yaml
from vig_pyg.classification.splits import find_copies, similar_names
from vig_pyg.detection.builders import DETECTORS, PRETRAINED, Detector
from vig_pyg.detection.config import DetectionConfig, make_config
from vig_pyg.detection.data import DetectionData, open_source
from vig_pyg.detection.records import DetectionDataset
from vig_pyg.engine.run import CONFIG_YAML

_log = logging.getLogger(__name__)


def load_data(config: DetectionConfig) -> DetectionData:
    """Load the images; what is probably a mistake in their division is logged.

    Args:
        config: Names the images, their augmentation and the size of batches.

    Raises:
        FileNotFoundError: If something does not exist.
        ValueError: If annotations cannot be used, or the classes differ.
    """
    train = open_source(config.train, on_bad=config.on_bad)
    val = open_source(config.val, classes=train.class_names, on_bad=config.on_bad)
    _check_division(train, val)
    return DetectionData(
        train,
        val,
        masks=config.masks,
        augmentation=config.augmentation,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
    )


def make_detector(config: DetectionConfig, num_classes: int, *, pretrained: bool = True) -> Detector:
    """Make the detector of a configuration, with the weights of its seed.

    Args:
        config: Names the detector and its options.
        num_classes: Number of classes of the annotations.
        pretrained: If true, classification weights are read; if false, the detector is the same but for them.

    Raises:
        ValueError: If an option is unknown or out of its bounds, or the weights do not fit.
        FileNotFoundError: If there are no such weights.
    """
    lightning.seed_everything(config.seed, verbose=False)
    options = dict(config.options)
    if not pretrained and options.pop("weights_backbone", None) is not None:
        given = {key: value for key, value in options.items() if value is not None}
        options = {**options, **PRETRAINED, **given}  # what the weights decided
    return DETECTORS[config.detector](config.variant, **options, num_classes=num_classes)


def read_run(folder: str | Path) -> DetectionConfig:
    """Read and check the configuration of a run folder; nothing is built or fetched.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If it is not the folder of a detector's run.
        ValueError: If its configuration cannot be read.
    """
    path = Path(folder) / CONFIG_YAML
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a run folder: it has no {CONFIG_YAML}. `vig-pyg detect train` makes one."
        )
    return make_config((str(path), read_yaml(path)))


def _check_division(train: DetectionDataset, val: DetectionDataset) -> None:
    """Log classes that may be one, and images that are trained on and measured."""
    for first, second in similar_names(train.class_names):
        _log.warning("%s has the classes %r and %r, which differ little, but are two.", train.title, first, second)
    files = [[str(record.path) for record in source.records] for source in (train, val)]
    copies = find_copies(*files)
    if copies:
        _log.warning(
            "%d of %d images of %s are trained on, too, such as %s: the average precision is too good.",
            len(copies), len(files[1]), val.title, copies[0][0],
        )  # fmt: skip
