"""The configuration that all training tasks share, with the bounds and the defaults of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from vig_pyg._io.dataclass_schema import check_fields
from vig_pyg._io.schema import listing, number, positive, text, whole
from vig_pyg.engine.warmup import check_warmup

Share = Annotated[float, number(0, 1)]
Rate = Annotated[float, number(0, 1_000)]
Count = Annotated[int, whole(1, 10**6)]
_check_shares = listing(number(0, 1), 0, 100)


def _check_milestones(value: Any, where: str) -> tuple[float, ...]:
    shares = tuple(_check_shares(value, where))
    if list(shares) != sorted(shares):
        raise ValueError(f"{where} must be ascending shares of the run, got {list(shares)}.")
    return shares


Precision = Literal["32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options of every training run.

    Every number has bounds, because a number outside of the bounds is a mistake, or an attempt to exhaust the memory.

    Args:
        epochs: Number of passes over the training images.
        batch_size: Number of images in one step, over all processes and accumulated parts.
        lr: Largest learning rate, reached at the end of the warm-up.
        schedule: How the learning rate falls to `min_lr` after the warm-up: `"cosine"`, `"poly"` (in proportion to the
            remaining share of the run to the power of 0.9), or `"step"`, which divides it by 10 at each milestone.
        milestones: Ascending shares of the run after which `"step"` divides the learning rate by 10; 8/12 and 11/12 are
            those of COCO's 1x schedule, 27/36 and 33/36 those of its 3x schedule.
        warmup: Length of the linear rise of the learning rate in percent of the run, steps or epochs, with its unit.
        warmup_lr: Learning rate at the start of the warm-up.
        min_lr: Learning rate at the end of the schedule.
        weight_decay: AdamW's weight decay; biases, norms and the position embedding have none. The published value is
            0.05.
        eps: AdamW's epsilon; the published value is 1e-8.
        layer_decay: Learning rate of each layer as a share of that of the next layer; 1 disables this, 0.7 is usual in
            fine-tuning.
        freeze: Train only the head; the backbone and its batch statistics do not change.
        clip_grad: Largest norm of the gradient; null disables clipping.
        accumulate: Number of parts into which a batch is divided; their gradients are added. This needs less memory
            and gives the same step, except that batch norm normalizes each part separately.
        ema: Decay of the moving average of the weights; the average is evaluated and saved instead of the weights. null
            disables it.
        ema_warmup: Start the moving average with a small decay that grows, for runs of few steps.
        evaluate_every: Number of epochs between two evaluations.
        patience: Number of evaluations without a better score after which training stops; null disables early stopping.
        keep: Which weights are saved at the end: `"last"`, or `"best"`, those of the epoch with the best validation
            score (which is then optimistically biased).
        seed: Seed of the initial weights, the order of the images, and the augmentation.
        num_workers: Number of data loading processes for each training process, at most one for each core.
        precision: Precision of the arithmetic, with Lightning's names; with `*-mixed` the weights stay in float32.
        accelerator: Kind of device, with Lightning's names, such as `auto`, `cpu` or `gpu`.
        devices: Number of processes on this machine; `auto` means the number set by the launcher, otherwise the number
            of GPUs, otherwise 1.
        num_nodes: Number of machines; 0 means the number set by the launcher, otherwise 1.
        sync_bn: Compute the statistics of batch norm over the images of all processes.
        checkpoint_every: Number of steps between two checkpoints within an epoch; null writes a checkpoint only at the
            end of each epoch.
        tensorboard: Also write log files for TensorBoard.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> TrainConfig(epochs=5, warmup="20 steps").lr
        0.003
    """

    epochs: Count = 20
    batch_size: Count = 64
    lr: Annotated[float, positive(1_000)] = 3e-3
    schedule: Literal["cosine", "poly", "step"] = "cosine"
    milestones: Annotated[tuple[float, ...], _check_milestones] = (8 / 12, 11 / 12)
    warmup: Annotated[str, check_warmup] = "10%"
    warmup_lr: Rate = 0.0
    min_lr: Rate = 0.0
    weight_decay: Rate = 0.05
    eps: Share = 1e-8
    layer_decay: Share = 1.0
    freeze: bool = False
    clip_grad: Annotated[float, positive(1e9)] | None = None
    accumulate: Count = 1
    ema: Share | None = None
    ema_warmup: bool = False
    evaluate_every: Count = 1
    patience: Count | None = None
    keep: Literal["last", "best"] = "last"
    seed: Annotated[int, whole(0, 2**32 - 1)] = 0
    num_workers: Annotated[int, whole(0, 1_024)] = 2
    precision: Precision = "32-true"
    accelerator: Annotated[str, text(40)] = "auto"
    devices: Annotated[int, whole(1, 1_024)] | Literal["auto"] = "auto"
    num_nodes: Annotated[int, whole(0, 100_000)] = 0
    sync_bn: bool = False
    checkpoint_every: Annotated[int, whole(1, 10**9)] | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
