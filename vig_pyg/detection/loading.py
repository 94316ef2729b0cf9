"""Loading of the images, and creation of the detector, that a configuration describes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning

from vig_pyg._io.faults import all_faults, read_each
from vig_pyg.classification.splits import find_copies, similar_names
from vig_pyg.detection.builders import DETECTORS, PRETRAINED, Detector
from vig_pyg.detection.config import DetectionConfig, make_config
from vig_pyg.detection.data import DetectionData, check_source, open_source
from vig_pyg.engine.run import values_of_run

_log = logging.getLogger(__name__)
#: What cannot be used, in messages about both parts.
BOTH = "The training and the validation images"


def load_data(config: DetectionConfig) -> DetectionData:
    """Load the images of a configuration; probable mistakes in their division are logged.

    Args:
        config: The configuration of the data, the augmentation and the batches.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If annotations cannot be used, or the classes differ.

    Example:
        >>> from vig_pyg.detection.config import DetectionConfig
        >>> load_data(DetectionConfig(train="a.json:images", val="a.json:images"))
        Traceback (most recent call last):
            ...
        FileNotFoundError: There is no COCO file at a.json.
    """
    train, val = open_both(config, check_source, open_source)
    warn_of_division(train, val, "the average precision")
    return DetectionData(
        train,
        val,
        masks=config.masks,
        augmentation=config.augmentation,
        aspect_grouping=config.aspect_grouping,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
    )


def make_detector(config: DetectionConfig, num_classes: int, *, pretrained: bool = True) -> Detector:
    """Create the detector of a configuration, with random weights from its seed.

    Args:
        pretrained: If true, the classification weights of `weights_backbone` are loaded; false skips only this step.
    """
    lightning.seed_everything(config.seed, verbose=False)
    options = dict(config.options)
    if not pretrained and options.pop("weights_backbone", None) is not None:
        given = {key: value for key, value in options.items() if value is not None}
        options = {**options, **PRETRAINED, **given}  # these defaults depended on the weights
    return DETECTORS[config.detector](config.variant, **options, num_classes=num_classes)


def read_run(folder: str | Path) -> DetectionConfig:
    """Read and check the configuration of a run folder; nothing is built or downloaded.

    Raises:
        FileNotFoundError: If the folder is not the run folder of a detector.
        ValueError: If the configuration cannot be read.
    """
    return make_config(values_of_run(folder, "detect train"))


def open_both(config: Any, check: Callable[[str], Any], read: Callable[..., Any]) -> tuple[Any, Any]:
    """Open annotated training and validation images; an error names the faults of both.

    Args:
        config: The configuration with both sources.
        check: Function that checks a source before either is read.
        read: Function that reads a source.
    """
    errors: list[Exception] = []
    read_each(check, dict.fromkeys((config.train, config.val)), errors)
    if errors:
        raise all_faults(errors, BOTH)
    train = read_each(partial(read, on_bad=config.on_bad), [config.train], errors)
    names = train[0].class_names if train else None
    val = read_each(partial(read, classes=names, on_bad=config.on_bad), [config.val], errors)
    if errors:
        raise all_faults(errors, BOTH)
    return train[0], val[0]


def warn_of_division(train: Any, val: Any, scores: str) -> None:
    """Log probable mistakes in annotated training and validation images, which make the scores too high."""
    for first, second in similar_names(train.class_names):
        _log.warning("%s has separate classes with nearly equal names, %r and %r.", train.title, first, second)
    files = [[str(record.path) for record in source.records] for source in (train, val)]
    copies = find_copies(*files)
    if copies:
        _log.warning(
            "%d of %d images of %s %s, such as %s: %s will be too high.",
            len(copies), len(files[1]), val.title,
            "is also a training image" if len(copies) == 1 else "are also training images", copies[0][0], scores,
        )  # fmt: skip
