"""Training and validation steps of a classifier."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from vig_pyg.models import VisionGNN


class Classifier(lightning.LightningModule):
    """Cross entropy, AdamW, cosine learning rate with a linear warm-up (facts of the published recipe).

    Args:
        model: The network.
        lr: Largest learning rate.
        weight_decay: Of weights only; biases, norms and the position embedding have none.
        warmup: Share of the steps in which the rate rises.
        label_smoothing: Of the training loss.
    """

    def __init__(
        self, model: VisionGNN[Any], *, lr: float, weight_decay: float, warmup: float, label_smoothing: float
    ) -> None:
        super().__init__()
        num_classes = model.config.num_classes
        self.model = model
        self.lr = lr
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.confusion = MulticlassConfusionMatrix(num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss: Tensor = self.loss(self(images), labels)
        if not loss.isfinite():
            raise ValueError(
                f"The loss is {loss.item()} at step {self.global_step}: lower the learning rate ({self.lr})."
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def on_validation_epoch_start(self) -> None:
        self.confusion.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        logits = self(images)
        self.accuracy(logits, labels)
        self.confusion.update(logits, labels)
        loss = nn.functional.cross_entropy(logits, labels)
        self.log("val_loss", loss, on_epoch=True, batch_size=len(labels))
        self.log("val_accuracy", self.accuracy, prog_bar=True, on_epoch=True, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        parameters = list(self.model.named_parameters())
        decayed = [p for name, p in parameters if p.dim() > 1 and "pos_embed" not in name]
        others = [p for name, p in parameters if p.dim() <= 1 or "pos_embed" in name]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, eps=1e-8)
        steps = int(self.trainer.estimated_stepping_batches)
        rise = max(1, int(self.warmup * steps))

        def rate(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class History(lightning.Callback):
    """One row of numbers for each epoch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        metrics = {name: float(trainer.callback_metrics[name]) for name in ("train_loss", "val_loss", "val_accuracy")}
        self.rows.append({"epoch": trainer.current_epoch + 1, **metrics})

    def write(self, path: Path) -> None:
        """The rows as CSV."""
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
