"""All numbers of a training run, whatever the network and the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vig_pyg.engine.config_bounds import RECIPE, check_bounds


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
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
