"""All numbers of a training run, and the recipes that are ready to use."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from vig_pyg.train.augment import Augmentation
from vig_pyg.train.recipe_bounds import RECIPE, SETTINGS, check_bounds


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained, whatever the network and the data.

    Args:
        epochs: Passes over the training images, at least 1.
        lr: Largest learning rate; 2e-3 is published for batches of 1024, and a tenth of it for fine-tuning.
        weight_decay: Of weights; biases, norms and the position embedding have none. 0.05 is the published value.
        eps: AdamW's; 1e-8 is the published value.
        warmup: Share of the steps with a rising rate; then it falls as a cosine.
        warmup_lr: Rate at the start of the warm-up.
        min_lr: Rate at the end of the cosine.
        layer_decay: Each layer's rate is that of the layer after it times this; 1 is off, 0.7 is usual in fine-tuning.
        freeze: Train the classifier alone; the backbone stays as it is, its batch statistics too.
        clip_grad: Largest norm of the gradient; `None` is off.
        accumulate: Parts of a batch, whose gradients are added: less memory, the same step but for batch norm.
        label_smoothing: 0.1 is the published value.
        class_weights: Weigh the loss of each class by one over its number of images.
        mixup: Strength of mixing two images, 0.8 is published; 0 is off.
        cutmix: Strength of pasting a box of another image, 1.0 is published; 0 is off. With both, one of them a batch.
        mix_prob: Share of the batches that are mixed.
        repeats: Copies of each image in a batch (repeated augmentation), 3 is usual; 1 is off.
        ema: Decay of the moving average of the weights, which is then what is scored and kept; `None` is off.
        ema_warmup: Start the average with a small decay that grows, for runs of few steps.
        patience: Stop after so many epochs without a better held-out accuracy; `None` is off.
        keep: Weights to keep in the end, `"last"`, or `"best"` by held-out accuracy (which then flatters itself).
        seed: Of weights, order and augmentation.
        precision: Lightning's word, such as `"32-true"`, `"bf16-mixed"` or `"16-mixed"`.
        accelerator: Lightning's word: `"auto"`, `"cpu"`, `"gpu"`.
        devices: Processes on this machine; `"auto"` takes what the launcher says, or all GPUs, or one CPU.
        num_nodes: Machines; 0 takes what the launcher says, or one.
        sync_bn: Batch norm over the images of all processes.
        checkpoint_every: Also write a checkpoint every so many steps, not just after each epoch; `None` is off.
        tensorboard: Write TensorBoard's files too.

    Raises:
        ValueError: If a number is out of its range.
    """

    epochs: int = 20
    lr: float = 3e-3
    weight_decay: float = 0.05
    eps: float = 1e-8
    warmup: float = 0.1
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    layer_decay: float = 1.0
    freeze: bool = False
    clip_grad: float | None = None
    accumulate: int = 1
    label_smoothing: float = 0.1
    class_weights: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_prob: float = 1.0
    repeats: int = 1
    ema: float | None = None
    ema_warmup: bool = False
    patience: int | None = None
    keep: Literal["last", "best"] = "last"
    seed: int = 0
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int | Literal["auto"] = "auto"
    num_nodes: int = 0
    sync_bn: bool = False
    checkpoint_every: int | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lr <= 0:
            raise ValueError(f"Need epochs >= 1 and lr > 0, got epochs={self.epochs} and lr={self.lr}.")
        shares = ("warmup", "label_smoothing", "mix_prob", "layer_decay", "ema")
        for name in shares:
            if not 0 <= (getattr(self, name) or 0) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}.")
        for name in ("accumulate", "repeats", "patience", "checkpoint_every"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}.")
        for name in ("weight_decay", "warmup_lr", "min_lr", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        check_bounds(self, RECIPE)


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe, Augmentation):
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
        Recipe.__post_init__(self)
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
PRESETS: dict[str, Settings] = {
    # a minute on a CPU; the small set wants a high rate and no colors
    "digits": Settings(
        in_channels=1, affine=True, crop=None, flip=0.0, model="vig_micro", options={"patch_size": 2}, workers=0
    ),
    # a trained network on other pictures; the published rate makes it diverge, a tenth of it does not
    "finetune": Settings(
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
    "scratch": Settings(
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
    "imagenet": Settings(
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
