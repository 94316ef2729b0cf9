"""All that a training run of a detector is made of, as it stands in the run's folder."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from vig_pyg.classification.splits import find_copies, similar_names
from vig_pyg.detection.builders import DETECTORS, PRETRAINED, Detector
from vig_pyg.detection.data import Augmentation, DetectionData, open_source
from vig_pyg.detection.records import DetectionDataset, OnBad

_log = logging.getLogger(__name__)
Schedule = Literal["step", "cosine"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class DetectionRecipe:
    """Numbers of a training run. The defaults are the customary 1x schedule of COCO, with AdamW.

    The detection code of Vision GNN was not published; its learning rate is not known. What is marked so is our
    choice.

    Args:
        epochs: Passes over the training pictures; 12 is 1x.
        lr: Largest learning rate; 1e-4 for batches of 16 is our choice. Smaller batches want less, training from
            scratch more.
        weight_decay: 0.05 as for classification; biases, norms and the position embedding have none.
        schedule: `"step"` divides the rate by 10 after 8/12 and 11/12 of the epochs (1x); `"cosine"` is our choice
            for small data.
        warmup: Steps in which the rate rises, at most a tenth of all; 500 is 1x.
        clip: Largest norm of the gradient; 10 is our choice, it is only reached when training breaks down.
        batch_size: Pictures a step; 16 is 1x.
        precision: `"float32"`, or `"bfloat16"` for convolutions and linear layers; the neighbor search, boxes and
            losses stay in float32.
        seed: Of weights, order and augmentation.

    Raises:
        ValueError: If a number is out of range or a name unknown.
    """

    epochs: int = 12
    lr: float = 1e-4
    weight_decay: float = 0.05
    schedule: Schedule = "step"
    warmup: int = 500
    clip: float = 10.0
    batch_size: int = 16
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        positive = 0 < self.lr < math.inf and 0 < self.clip < math.inf and 0 <= self.weight_decay < math.inf
        if self.epochs < 1 or self.warmup < 0 or not positive:
            raise ValueError(
                f"Need epochs >= 1, lr > 0, clip > 0, weight_decay >= 0 and warmup >= 0, got epochs={self.epochs}, "
                f"lr={self.lr}, clip={self.clip}, weight_decay={self.weight_decay}, warmup={self.warmup}."
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to {2**32 - 1}, got {self.seed}.")
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f"Unknown schedule {self.schedule!r}: choose step or cosine.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"Unknown precision {self.precision!r}: choose float32 or bfloat16.")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Detector, data and recipe.

    Args:
        train: Pictures to train on (see `open_source`).
        val: Pictures to measure on.
        detector: `"retinanet"`, `"fasterrcnn"` or `"maskrcnn"`.
        variant: Size of the PyramidViG.
        options: Options of the builder (see `DetectorOptions`) but `num_classes`, as JSON can hold them.
        recipe: Numbers of the run.
        augmentation: Changes of the training pictures.
        on_bad: What to do with boxes without area.

    Raises:
        ValueError: If the detector is unknown, or it takes no pictures in color.
    """

    train: str
    val: str
    detector: str = "retinanet"
    variant: str = "tiny"
    options: dict[str, Any] = field(default_factory=dict)
    recipe: DetectionRecipe = field(default_factory=DetectionRecipe)
    augmentation: Augmentation = field(default_factory=Augmentation)
    on_bad: OnBad = "drop"

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise ValueError(f"Unknown detector {self.detector!r}: choose one of {', '.join(DETECTORS)}.")
        if self.on_bad not in ("drop", "stop"):
            raise ValueError(f"on_bad must be 'drop' or 'stop', got {self.on_bad!r}.")
        if self.options.get("in_channels", 3) != 3:
            raise ValueError(
                f"Images are read in color: in_channels must be 3, got {self.options['in_channels']}. Train a "
                "detector with other channels by a loop of your own (see vig_pyg.detection.DETECTORS)."
            )

    @property
    def masks(self) -> bool:
        """Whether the detector learns outlines."""
        return self.detector == "maskrcnn"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        augmentation = {**entries["augmentation"], "scale": tuple(entries["augmentation"]["scale"])}
        parts = {"recipe": DetectionRecipe(**entries["recipe"]), "augmentation": Augmentation(**augmentation)}
        return cls(**{**entries, **parts})

    def data(self, *, num_workers: int) -> DetectionData:
        """The pictures; what is probably a mistake in their division is logged."""
        train = open_source(self.train, on_bad=self.on_bad)
        val = open_source(self.val, classes=train.class_names, on_bad=self.on_bad)
        _check_division(train, val)
        return DetectionData(
            train,
            val,
            masks=self.masks,
            augmentation=self.augmentation,
            batch_size=self.recipe.batch_size,
            num_workers=num_workers,
            seed=self.recipe.seed,
        )

    def model(self, num_classes: int, *, pretrained: bool = True) -> Detector:
        """The detector; without `pretrained` the same, but no classification weights are read."""
        options = dict(self.options)
        if not pretrained and options.pop("weights_backbone", None) is not None:
            given = {key: value for key, value in options.items() if value is not None}
            options = {**options, **PRETRAINED, **given}  # what the weights decided
        return DETECTORS[self.detector](self.variant, **options, num_classes=num_classes)


def _check_division(train: DetectionDataset, val: DetectionDataset) -> None:
    """Log classes that may be one, and pictures that are trained on and measured."""
    for first, second in similar_names(train.class_names):
        _log.warning("%s has the classes %r and %r, which differ little, but are two.", train.title, first, second)
    files = [[str(record.path) for record in source.records] for source in (train, val)]
    copies = find_copies(*files)
    if copies:
        _log.warning(
            "%d of %d pictures of %s are trained on, too, such as %s: the average precision is too good.",
            len(copies), len(files[1]), val.title, copies[0][0],
        )  # fmt: skip
