"""A whole run of a classifier, and those that are ready to use."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from vig_pyg.classification.augment import Augmentation
from vig_pyg.classification.config_bounds import SETTINGS
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.config_bounds import check_bounds


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TrainConfig, Augmentation):
    """A whole run: a recipe, an augmentation, the data and the network. The command line and its YAML hold one.

    Args:
        data: `"digits"`, `"cifar10"`, `"cifar100"`, a folder of pictures, or a CSV file.
        root: Where CIFAR's files are, or go.
        image_size: Side of the images in pixels.
        in_channels: Channels of the images (digits have 1, CIFAR 3).
        crop_pct: Of the preprocessing in evaluation.
        batch_size: Images of a step, over all processes and parts.
        workers: Processes that load pictures, for each process that trains.
        cache: Keep decoded pictures in memory, with a short side of so many pixels; `None` is off.
        on_broken: What to do about a picture that cannot be read: `"stop"`, or `"skip"`.
        model: A name of `list_models()`.
        options: Options of the network, such as `conv`, `k`, `patch_size`, `depths`, `channels`.
        drop_path_rate: Stochastic depth; `"published"` is 0.1, for base models 0.3.
        weights: Weights to start from: a file, a URL, or a name of published ones, such as `"pvig_tiny"`.
    """

    data: str = "digits"
    root: str = "data"
    image_size: int = 16
    in_channels: int = 3
    crop_pct: float = 1.0
    batch_size: int = 64
    workers: int = 2
    cache: int | None = None
    on_broken: Literal["stop", "skip"] = "stop"
    model: str = "vig_micro"
    options: dict[str, Any] = field(default_factory=dict)
    drop_path_rate: float | Literal["published"] = 0.0
    weights: str | None = None

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        Augmentation.__post_init__(self)
        check_bounds(self, SETTINGS)

    @property
    def augmentation(self) -> Augmentation:
        """The part that `ImageData` takes."""
        return Augmentation(**{f.name: getattr(self, f.name) for f in fields(Augmentation)})

    def resolved(self) -> Self:
        """With numbers in place of words that depend on other values."""
        if self.drop_path_rate != "published":
            return self
        return replace(self, drop_path_rate=0.3 if self.model.endswith("_base") else 0.1)


#: Ready recipes. `imagenet` is that of Vision GNN (arXiv 2206.00272, table 3 and the published training command).
PRESETS: dict[str, ClassificationConfig] = {
    # a minute on a CPU; the small set wants a high rate and no colors
    "digits": ClassificationConfig(
        in_channels=1, affine=True, crop=None, flip=0.0, model="vig_micro", options={"patch_size": 2}, workers=0
    ),
    # a trained network on other pictures; the published rate makes it diverge, a tenth of it does not
    "finetune": ClassificationConfig(
        data="pictures",
        image_size=224,
        crop_pct=0.9,
        model="pvig_tiny",
        epochs=30,
        lr=2e-4,
        layer_decay=0.75,
        drop_path_rate=0.1,
        batch_size=64,
        crop=0.2,
        randaugment="rand-m5-mstd0.5-inc1",
        ema=0.999,
        ema_warmup=True,
        keep="best",
    ),
    # thousands of pictures, no trained network, an hour on a CPU
    "scratch": ClassificationConfig(
        data="pictures",
        image_size=64,
        model="pvig_micro",
        options={"patch_size": 4, "channels": (48, 96, 160, 256), "depths": (2, 2, 4, 2)},
        epochs=50,
        lr=2e-3,
        batch_size=64,
        cutmix=1.0,
        mix_prob=0.5,
        ema=0.998,
        ema_warmup=True,
    ),
    "imagenet": ClassificationConfig(
        data="imagenet",
        image_size=224,
        crop_pct=0.9,
        model="pvig_small",
        epochs=300,
        batch_size=1024,
        lr=2e-3,
        weight_decay=0.05,
        eps=1e-8,
        warmup=20 / 300,
        warmup_lr=1e-6,
        label_smoothing=0.1,
        drop_path_rate="published",
        crop=0.08,
        color_jitter=0.4,
        randaugment="rand-m9-mstd0.5-inc1",
        erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
        repeats=3,
        ema=0.99996,
        precision="16-mixed",
        workers=8,
    ),
}
