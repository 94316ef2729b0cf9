"""Training and validation steps of a classifier."""

from __future__ import annotations

import torch
from timm.data.mixup import Mixup
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from vig_pyg._io.numbers import percent
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.distillation import Teacher, distillation_loss
from vig_pyg.engine.task import Task, exact

#: Label of a padding image.
IGNORE = -100


class Classifier(Task):
    """Trains with cross entropy, optionally on mixed images; in validation, computes accuracy and confusion matrix.

    Args:
        model: The network, from images to `num_classes` logits, or in training to a pair of them, whose losses are
            averaged.
        num_classes: Number of classes; by default `config.num_classes` of the network.
        class_counts: Number of training images of each class, for `config.class_weights`.
        teacher: A network without gradients, whose labels the second logits of the pair learn (see
            `vig_pyg.classification.distillation`). It is neither trained nor saved.

    Raises:
        ValueError: If `config.class_weights` is true and `class_counts` is missing.

    Example:
        >>> from vig_pyg import vig_micro
        >>> Classifier(vig_micro(num_classes=2), ClassificationConfig()).monitor
        'val_accuracy'
    """

    monitor = "val_accuracy"

    def __init__(
        self,
        model: nn.Module,
        config: ClassificationConfig,
        *,
        num_classes: int | None = None,
        class_counts: Tensor | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(model, config)
        count: int = num_classes if num_classes is not None else model.config.num_classes  # type: ignore[union-attr, assignment]
        self.config: ClassificationConfig = config
        self.teacher = [] if teacher is None else [teacher]  # a list, so that it is not part of checkpoints
        self.mix = None
        if config.mixup or config.cutmix:
            self.mix = Mixup(
                mixup_alpha=config.mixup,
                cutmix_alpha=config.cutmix,
                prob=config.mix_prob,
                label_smoothing=config.label_smoothing,
                num_classes=count,
            )
        weight = None
        if config.class_weights:
            if class_counts is None:
                raise ValueError("class_weights needs the number of training images of each class.")
            weight = class_counts.sum() / (len(class_counts) * class_counts.clamp_min(1).float())
        # MixUp and CutMix apply label smoothing themselves
        self.loss = nn.CrossEntropyLoss(weight, label_smoothing=0 if self.mix else config.label_smoothing)
        self.val_meter = torch.zeros(2, dtype=torch.float64)
        self.confusion = MulticlassConfusionMatrix(count, ignore_index=IGNORE)
        self.top5 = None
        if count > 5:
            self.top5 = MulticlassAccuracy(count, top_k=5, average="micro", ignore_index=IGNORE)

    def losses(self, batch: tuple[Tensor, Tensor]) -> tuple[dict[str, Tensor], int]:
        images, labels = batch
        if self.mix is not None:
            if len(images) % 2:
                raise ValueError(f"mixup and cutmix mix pairs: each process needs an even batch, got {len(images)}.")
            images, labels = self.mix(images, labels)
        out = self(images)
        if self.teacher:
            return self._with_teacher(out, images, labels), len(images)
        of_layers = out if isinstance(out, tuple) else (out,)  # a model with `distillation` has two output layers
        return {"loss": torch.stack([self.loss(logits, labels) for logits in of_layers]).mean()}, len(images)

    def _with_teacher(self, out: tuple[Tensor, Tensor], images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        of_labels, alpha = self.loss(out[0], labels), self.config.distillation_alpha
        of_teacher = distillation_loss(out[1], self.teacher[0](images), self.config)
        total = (1 - alpha) * of_labels + alpha * of_teacher
        return {"loss": total, "loss_labels": of_labels, "loss_teacher": of_teacher}

    def on_fit_start(self) -> None:
        for teacher in self.teacher:
            teacher.to(self.device)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.confusion.reset()
        self.val_meter = torch.zeros_like(self.val_meter)
        if self.top5 is not None:
            self.top5.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        logits = exact(self.scored[0](images))  # in float32, the mean loss would depend on the division into batches
        self.confusion.update(logits, labels)
        if self.top5 is not None:
            self.top5.update(logits, labels)
        loss = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        self.val_meter = self.val_meter.to(loss) + torch.stack([loss, (labels != IGNORE).sum().to(loss)])

    def on_validation_epoch_end(self) -> None:
        self.counts = self.confusion.compute()
        total, count = self.of_all(self.val_meter).sum(0).tolist()
        row = {"val_loss": total / count, "val_accuracy": float(self.counts.trace() / self.counts.sum())}
        if self.top5 is not None:
            row["val_top5"] = float(self.top5.compute())
        self.set_scores(row)

    def describe(self, row: dict[str, float]) -> str:
        shown = f"training loss {row['train_loss']:.4f}"
        if "val_loss" not in row:
            return shown
        return f"{shown}, validation loss {row['val_loss']:.4f}, accuracy {percent(row['val_accuracy'])}"
