"""Loading of the images, and creation of the network, that a configuration describes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning

from vig_pyg._io.faults import all_faults, read_each
from vig_pyg.detection.loading import BOTH, open_both, warn_of_division
from vig_pyg.engine.run import values_of_run
from vig_pyg.segmentation.builders import SEGMENTERS
from vig_pyg.segmentation.config import SegmentationConfig, make_config
from vig_pyg.segmentation.data import SegmentationData
from vig_pyg.segmentation.records import check_masks
from vig_pyg.segmentation.segmenter import Segmenter
from vig_pyg.segmentation.sources import check_source, open_source


def load_data(config: SegmentationConfig) -> SegmentationData:
    """Load the images of a configuration; all masks are read once, so mistakes are found before the first step.

    Args:
        config: The configuration of the data, the augmentation and the batches.

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If a mask cannot be used, or the classes differ.

    Example:
        >>> from vig_pyg.segmentation.config import SegmentationConfig
        >>> load_data(SegmentationConfig(train="nowhere/train", val="nowhere/train"))
        Traceback (most recent call last):
            ...
        FileNotFoundError: There is no file or folder nowhere/train.
    """
    train, val = open_both(config, check_source, open_source)
    errors: list[Exception] = []
    both = read_each(partial(check_masks, on_bad=config.on_bad), (train, val), errors)
    if errors:
        raise all_faults(errors, BOTH)
    checked, held_out = both
    warn_of_division(checked.data, held_out.data, "the scores")
    data = SegmentationData(
        checked.data,
        held_out.data,
        preprocessing=config.preprocessing,
        augmentation=config.augmentation,
        crop_size=config.crop_size,
        class_counts=checked.counts,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
    )
    data.left_out = [*checked.left_out, *held_out.left_out]
    return data


def with_epochs(config: SegmentationConfig, data: SegmentationData) -> SegmentationConfig:
    """Return the configuration with the smallest number of epochs that has `config.steps` steps, if `steps` is given.

    Example:
        >>> from types import SimpleNamespace
        >>> config = SegmentationConfig(train="a", val="b", steps=100, batch_size=8)
        >>> with_epochs(config, SimpleNamespace(train_set=range(80))).epochs
        10
    """
    if config.steps is None:
        return config
    each = len(data.train_set) // config.batch_size
    return replace(config, epochs=-(-config.steps // each))


def make_segmenter(config: SegmentationConfig, num_classes: int, *, pretrained: bool = True) -> Segmenter:
    """Create the network of a configuration, with random weights from its seed.

    Args:
        pretrained: If true, the classification weights of `weights_backbone` are loaded; false skips only this step.
    """
    lightning.seed_everything(config.seed, verbose=False)
    options = dict(config.options)
    if not pretrained:
        options.pop("weights_backbone", None)
    return SEGMENTERS[config.segmenter](config.variant, **options, num_classes=num_classes)


def read_run(folder: str | Path) -> SegmentationConfig:
    """Read and check the configuration of a run folder; nothing is built or downloaded.

    Raises:
        FileNotFoundError: If the folder is not the run folder of a segmentation network.
        ValueError: If the configuration cannot be read.
    """
    return make_config(values_of_run(folder, "segment train"))
