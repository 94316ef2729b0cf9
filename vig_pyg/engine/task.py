"""The base class of tasks: a network with its loss, optimizer and scores."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import lightning
import torch
from torch import Tensor, nn

from vig_pyg._io.numbers import percent
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.optim import learning_rate, parameter_groups
from vig_pyg.engine.seeds import seed_of, set_seed

#: Number of steps between two checks of the loss on a GPU, because reading it synchronizes the device.
CHECK_EVERY = 50


class LossNotFiniteError(ValueError):
    """The loss is NaN or infinite, so the training has diverged."""


class Task(lightning.LightningModule):
    """A Lightning module with AdamW, a schedule, exact means of the losses, and a seed for each step.

    A subclass defines `monitor`, `losses`, `validation_step` and `on_validation_epoch_end`, which sets `scores`.

    Args:
        model: The network.
        config: The configuration of the training.

    Raises:
        ValueError: If `config.freeze` is true and the network has no other part to train.

    Example:
        >>> from vig_pyg import vig_micro
        >>> from vig_pyg.classification import ClassificationConfig
        >>> from vig_pyg.classification.module import Classifier
        >>> isinstance(Classifier(vig_micro(num_classes=2), ClassificationConfig()), Task)
        True
    """

    #: Name of the score in `metrics.csv` whose highest value defines the best epoch.
    monitor: ClassVar[str]

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        #: The network that is evaluated: `model`, or its moving average.
        self.scored: list[nn.Module] = [model]  # a list, so that the network is not registered as a submodule
        #: Scores of the last evaluation, by their names in `metrics.csv`; empty before the first evaluation.
        self.scores: dict[str, float] = {}
        #: Data for the figures of the task at the end, such as a confusion matrix.
        self.counts: Tensor | None = None
        # Sums of losses and number of images. This is not a buffer, because the first process would broadcast it to all
        # others.
        self.meter = torch.zeros(2, dtype=torch.float64)
        self.parts: list[str] = ["loss"]
        #: The meter of each batch of a run of one epoch, whose curve shows the steps; longer runs show the epochs.
        self.step_meters: list[Tensor] = []
        if config.freeze:
            for part in self.backbone():
                part.requires_grad_(False)
            if not any(p.requires_grad for p in model.parameters()):
                raise ValueError(f"freeze=true leaves nothing to train in this {type(model).__name__}.")
        self.train()

    def losses(self, batch: Any) -> tuple[dict[str, Tensor], int]:
        """Return the mean losses of a batch (the total `loss`, followed by its parts), and the number of images.

        Args:
            batch: A batch of the training data.

        Shapes: the losses are scalars.

        Returns:
            The losses, scalars by their names, and the number of images.

        Raises:
            NotImplementedError: If a subclass does not define this method.
        """
        raise NotImplementedError

    def backbone(self) -> list[nn.Module]:
        """Return the parts of the network that `freeze` does not train: all but its `head`."""
        return [part for name, part in self.model.named_children() if name != "head"]

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; a frozen backbone, including its statistics, stays in evaluation mode.

        Args:
            mode: True for training, false for evaluation.
        """
        super().train(mode)
        if self.config.freeze:
            for part in self.backbone():
                part.eval()
        return self

    def forward(self, images: Any) -> Any:
        return self.model(images)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  (Lightning's signature)
        # a resumed run uses the same random numbers
        set_seed(seed_of(self.config.seed, self.current_epoch, batch_idx, self.global_rank, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        losses, count = self.losses(batch)
        self.parts = list(losses)
        added = torch.stack([exact(part.detach()) * count for part in losses.values()])
        self.add_to_meter(added, count)
        loss = losses["loss"]
        if loss.device.type == "cpu" or batch_idx % CHECK_EVERY == 0:
            self.check_finite()
        return loss

    def add_to_meter(self, sums: Tensor, count: int) -> None:
        """Add sums of losses and the number of their images on the device, without synchronizing it.

        Args:
            sums: The sum of each loss over the images, `(n,)`.
            count: Number of images.
        """
        added = torch.cat([sums, sums.new_full((1,), count)])
        self.meter = added if len(self.meter) != len(added) else self.meter.to(added) + added
        if self.config.epochs == 1:
            self.step_meters.append(added)

    def check_finite(self) -> None:
        """Raise `LossNotFiniteError` if a loss of this epoch was not finite.

        Raises:
            LossNotFiniteError: If a loss is NaN or infinite.
        """
        if not self.meter[0].isfinite():
            raise LossNotFiniteError(
                f"The loss is {self.meter[0].item()} at step {self.global_step}: lower the learning rate "
                f"({self.config.lr})."
            )

    def on_train_epoch_start(self) -> None:
        self.meter = torch.zeros_like(self.meter)
        self.step_meters = []

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.train_losses())

    def train_losses(self) -> dict[str, float]:
        """Return the mean losses of this epoch so far, over the images of all processes, as in `metrics.csv`."""
        *sums, count = self.of_all(self.meter).sum(0).tolist()
        return {f"train_{name}": total / count for name, total in zip(self.parts, sums, strict=True)}

    def step_losses(self) -> list[dict[str, float]]:
        """Return the losses of each step of a run of one epoch, each as in `train_losses`; empty for longer runs."""
        if not self.step_meters or len(self.step_meters) % self.config.accumulate:
            return []  # a checkpoint of an earlier version, within an epoch, has no losses of steps
        meters = torch.stack(self.step_meters)  # (batches, losses + 1)
        steps = self.of_all(meters.flatten()).sum(0).view(-1, self.config.accumulate, meters.size(1)).sum(1)
        names = [f"train_{name}" for name in self.parts]
        return [dict(zip(names, (total / count for total in sums), strict=True)) for *sums, count in steps.tolist()]

    def of_all(self, meter: Tensor) -> Tensor:
        """Gather a tensor from all processes.

        Args:
            meter: The tensor of this process, `(n,)`.

        Returns:
            The tensors of all processes, `(world, n)`.
        """
        gathered = self.all_gather(meter.to(self.device))
        assert isinstance(gathered, Tensor)
        return gathered.view(-1, len(meter))

    def on_validation_epoch_start(self) -> None:
        if self.trainer.world_size > 1:  # each process has batch statistics of different images
            for tensor in self.scored[0].state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def set_scores(self, scores: dict[str, float]) -> None:
        """Store the scores of an evaluation, and log the scores whose names are valid for every logger.

        Args:
            scores: The scores by their names in `metrics.csv`.
        """
        if not self.trainer.sanity_checking:
            self.scores = scores
        self.log_dict({name: score for name, score in scores.items() if name.isidentifier()})

    def describe(self, row: dict[str, float]) -> str:
        """Describe the row of an epoch in one line of text.

        Args:
            row: The row of `metrics.csv`.
        """
        shown = [f"training loss {row['train_loss']:.4f}"]
        if self.monitor in row:
            shown.append(f"{self.monitor.removeprefix('val_')} {percent(row[self.monitor])}")
        return ", ".join(shown)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the sums of the losses of every process.

        Args:
            checkpoint: The checkpoint, to which this method adds entries.
        """
        checkpoint["meter"], checkpoint["parts"] = self.of_all(self.meter).cpu(), self.parts
        if self.step_meters:
            checkpoint["step_meters"] = self.of_all(torch.cat(self.step_meters)).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.meter, self.parts = checkpoint["meter"][self.global_rank], checkpoint["parts"]
        if "step_meters" in checkpoint:
            self.step_meters = list(checkpoint["step_meters"][self.global_rank].view(-1, len(self.meter)))

    def configure_optimizers(self) -> Any:
        c = self.config
        groups = parameter_groups(self.model, lr=c.lr, weight_decay=c.weight_decay, layer_decay=c.layer_decay)
        optimizer = torch.optim.AdamW(groups, lr=c.lr, eps=c.eps)
        rate = learning_rate(c, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def exact(x: Tensor) -> Tensor:
    """Convert a tensor to float64, or to float32 on Apple GPUs, which do not support float64.

    Example:
        >>> exact(torch.zeros(1)).dtype
        torch.float64
    """
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)
