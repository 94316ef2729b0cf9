"""Training and validation steps of a segmentation network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from vig_pyg._io.numbers import percent
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.task import Task
from vig_pyg.segmentation.config import SegmentationConfig
from vig_pyg.segmentation.infer import largest_class
from vig_pyg.segmentation.losses import class_weights, cross_entropy, dice_loss, ohem_cross_entropy
from vig_pyg.segmentation.masks import IGNORED
from vig_pyg.segmentation.metrics import scores_of
from vig_pyg.segmentation.segmenter import logits_of


class SegmentationModule(Task):
    """Trains with cross entropy over pixels, and computes the mean intersection over union in validation.

    Args:
        model: The network, from images to `{"out": logits}` at the size of the images.
        config: The configuration of the run. With any `TrainConfig` other than a `SegmentationConfig`, the loss is
            plain cross entropy.
        class_counts: Number of training pixels of each class, for `config.class_weights`.

    Shapes: a batch of images `(B, 3, H, W)` with labels `(B, H, W)` in training, and of lists of both in validation.

    Raises:
        ValueError: If `config.class_weights` is not `none` and `class_counts` is missing.

    Example:
        >>> from vig_pyg.segmentation import semantic_fpn_pvig
        >>> model = semantic_fpn_pvig("micro", num_classes=2, out_channels=16)
        >>> task = SegmentationModule(model, TrainConfig(), class_names=["sky", "road"])
        >>> losses, count = task.losses((torch.rand(2, 3, 32, 32), torch.zeros(2, 32, 32))); sorted(losses), count
        (['loss'], 2)
    """

    monitor = "val_mIoU"

    def __init__(
        self, model: nn.Module, config: TrainConfig, *, class_names: list[str], class_counts: Tensor | None = None
    ) -> None:
        super().__init__(model, config)
        given = config if isinstance(config, SegmentationConfig) else None
        self.class_names = class_names
        self.cross_entropy = ohem_cross_entropy if given and given.loss == "ohem" else cross_entropy
        self.dice = given.dice if given else 0.0
        rule = given.class_weights if given else "none"
        if rule != "none" and class_counts is None:
            raise ValueError("class_weights needs the number of training pixels of each class.")
        self.weight: Tensor | None
        self.register_buffer(
            "weight", None if class_counts is None else class_weights(class_counts, rule), persistent=False
        )
        self.confusion = MulticlassConfusionMatrix(len(class_names), ignore_index=IGNORED, validate_args=False)

    def backbone(self) -> list[nn.Module]:
        """Return the backbone of the network; for a model without one, all parts except `head`."""
        parts = [getattr(self.model, name, None) for name in ("body", "backbone", "encoder")]
        found = [part for part in parts if isinstance(part, nn.Module)]
        return found[:1] or super().backbone()

    def losses(self, batch: tuple[Tensor, Tensor]) -> tuple[dict[str, Tensor], int]:
        images, labels = batch
        logits, labels = self(images)["out"], labels.long()
        logits = logits if logits.dtype == torch.float64 else logits.float()
        weight = None if self.weight is None else self.weight.to(logits.dtype)
        loss = self.cross_entropy(logits, labels, weight)
        if not self.dice:
            return {"loss": loss}, len(images)
        dice = dice_loss(logits, labels)
        return {"loss": loss + self.dice * dice, "cross_entropy": loss, "dice": dice}, len(images)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.confusion.reset()

    def validation_step(self, batch: tuple[list[Tensor], list[Tensor]], _: int) -> None:
        images, labels = batch
        for logits, truth in zip(logits_of(self.scored[0], images), labels, strict=True):
            found = largest_class(logits, truth.shape)[1]  # the image may have been resized, but its mask was not
            count_pixels(self.confusion, found, truth)

    def on_validation_epoch_end(self) -> None:
        self.counts = self.confusion.compute().long()
        self.set_scores(scores_of(self.counts).row(self.class_names))

    def describe(self, row: dict[str, float]) -> str:
        shown = f"training loss {row['train_loss']:.4f}"
        if "val_mIoU" not in row:
            return shown
        return f"{shown}, mIoU {percent(row['val_mIoU'])}, pixels {percent(row['val_pixel_accuracy'])}"


def count_pixels(confusion: MulticlassConfusionMatrix, found: Tensor, truth: Tensor) -> None:
    """Add the pixels of one image to a confusion matrix.

    Example:
        >>> confusion = MulticlassConfusionMatrix(2, ignore_index=255)
        >>> count_pixels(confusion, torch.tensor([[0, 1]]), torch.tensor([[0, 0]])); confusion.compute().tolist()
        [[1, 1], [0, 0]]
    """
    confusion.update(found.flatten(), truth.flatten().to(found.device).long())
