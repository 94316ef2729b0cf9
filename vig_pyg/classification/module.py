"""Training and validation steps of a classifier."""

from __future__ import annotations

from typing import Any, Self

import lightning
import torch
from timm.data.mixup import Mixup
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import IGNORE
from vig_pyg.engine.optim import WarmCosine, parameter_groups
from vig_pyg.engine.seeds import seed_of, set_seed
from vig_pyg.engine.warmup import Warmup
from vig_pyg.models import VisionGNN

#: A GPU is asked so seldom whether the loss is finite, as each question makes it wait.
ASK_EVERY = 50


class LossNotFiniteError(ValueError):
    """The training has diverged."""


class Classifier(lightning.LightningModule):
    """Cross entropy, AdamW, cosine learning rate with a linear warm-up (facts of the published recipe).

    Args:
        model: The network.
        recipe: Numbers of the training.
        class_counts: Training images of each class, for `recipe.class_weights`.
    """

    def __init__(
        self, model: VisionGNN[Any], recipe: ClassificationConfig, *, class_counts: Tensor | None = None
    ) -> None:
        super().__init__()
        num_classes = model.config.num_classes
        self.model = model
        self.recipe = recipe
        #: The network that is scored: `model`, or its moving average.
        self.scored: list[nn.Module] = [model]  # in a list, so that it is no part of this module
        self.mix = None
        if recipe.mixup or recipe.cutmix:
            self.mix = Mixup(
                mixup_alpha=recipe.mixup,
                cutmix_alpha=recipe.cutmix,
                prob=recipe.mix_prob,
                label_smoothing=recipe.label_smoothing,
                num_classes=num_classes,
            )
        weight = None
        if recipe.class_weights:
            if class_counts is None:
                raise ValueError("class_weights needs the number of training images of each class.")
            weight = class_counts.sum() / (len(class_counts) * class_counts.clamp_min(1).float())
        # mixing smooths the labels itself
        self.loss = nn.CrossEntropyLoss(weight, label_smoothing=0 if self.mix else recipe.label_smoothing)
        # sums and counts of losses; no buffers, those of the first process would be sent to all others
        self.meter = self.val_meter = torch.zeros(2, dtype=torch.float64)
        self.confusion = MulticlassConfusionMatrix(num_classes, ignore_index=IGNORE)
        self.top5 = None
        if num_classes > 5:
            self.top5 = MulticlassAccuracy(num_classes, top_k=5, average="micro", ignore_index=IGNORE)
        if recipe.freeze:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("head."))
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Training mode; a frozen backbone stays in evaluation mode, as its batch statistics are frozen too."""
        super().train(mode)
        if self.recipe.freeze:
            self.model.eval()
            self.model.head.train(mode)
        return self

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  (Lightning's signature)
        set_seed(seed_of(self.recipe.seed, self.current_epoch, batch_idx, self.global_rank, 1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        if self.mix is not None:
            if len(images) % 2:
                raise ValueError(f"mixup and cutmix pair images: each process needs an even batch, got {len(images)}.")
            images, labels = self.mix(images, labels)
        loss: Tensor = self.loss(self(images), labels)
        self.meter = _add(self.meter, loss.detach() * len(images), len(images))
        if loss.device.type == "cpu" or batch_idx % ASK_EVERY == 0:
            self.check_finite()
        return loss

    def check_finite(self) -> None:
        """Raise `LossNotFiniteError` if a loss of this epoch was not finite."""
        if not self.meter[0].isfinite():
            raise LossNotFiniteError(
                f"The loss is {self.meter[0].item()} at step {self.global_step}: lower the learning rate "
                f"({self.recipe.lr})."
            )

    def on_train_epoch_start(self) -> None:
        self.meter = torch.zeros_like(self.meter)

    def on_train_epoch_end(self) -> None:
        self.log("train_loss", self.train_loss())

    def train_loss(self) -> float:
        """Mean loss of the images of this epoch so far, over all processes."""
        total, count = self._of_all(self.meter).sum(0).tolist()
        return total / count

    def _of_all(self, meter: Tensor) -> Tensor:
        """A meter of every process, `(world, 2)`."""
        gathered = self.all_gather(meter.to(self.device))
        assert isinstance(gathered, Tensor)
        return gathered.view(-1, 2)

    def on_validation_epoch_start(self) -> None:
        self.confusion.reset()
        self.val_meter = torch.zeros_like(self.val_meter)
        if self.top5 is not None:
            self.top5.reset()
        if self.trainer.world_size > 1:  # each process has batch statistics of its own images
            for tensor in self.scored[0].state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        logits = _exact(self.scored[0](images))  # in float32 a loss depends on how images fall into batches
        self.confusion.update(logits, labels)
        if self.top5 is not None:
            self.top5.update(logits, labels)
        loss = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        self.val_meter = _add(self.val_meter, loss, (labels != IGNORE).sum())

    def on_validation_epoch_end(self) -> None:
        counts = self.confusion.compute()
        total, count = self._of_all(self.val_meter).sum(0)
        row = {"val_loss": total / count, "val_accuracy": counts.trace() / counts.sum()}
        if self.top5 is not None:
            row["val_top5"] = self.top5.compute()
        self.log_dict(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The running sum of the losses of every process."""
        checkpoint["meter"] = self._of_all(self.meter).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.meter = checkpoint["meter"][self.global_rank]

    def configure_optimizers(self) -> Any:
        r = self.recipe
        groups = parameter_groups(self.model, lr=r.lr, weight_decay=r.weight_decay, layer_decay=r.layer_decay)
        optimizer = torch.optim.AdamW(groups, lr=r.lr, eps=r.eps)
        steps = int(self.trainer.estimated_stepping_batches)
        rise = Warmup.parse(r.warmup).steps(total=steps, epochs=r.epochs)
        rate = WarmCosine(steps, max(1, rise), start=r.warmup_lr / r.lr, end=r.min_lr / r.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _add(meter: Tensor, total: Tensor, count: Tensor | int) -> Tensor:
    """A meter with a sum and a count added, on the device of the sum, without waiting for it."""
    total = _exact(total)
    added = torch.stack([total, torch.as_tensor(count, device=total.device, dtype=total.dtype)])
    return meter.to(added) + added


def _exact(x: Tensor) -> Tensor:
    """The tensor in double precision, or on Apple's GPUs, which have none, in single precision."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)
