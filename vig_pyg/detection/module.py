"""Training and validation steps of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg._io.numbers import percent
from vig_pyg.detection.coco_evaluator import CocoEvaluator
from vig_pyg.detection.transform import Target
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.task import LossNotFiniteError, Task


class DetectorModule(Task):
    """Trains with the losses of torchvision's detector, and computes average precision in validation.

    Args:
        model: The detector, which returns a dict of losses in training and a list of detections in evaluation.
        paths: The files of the training images by their IDs, for error messages.

    Shapes: a batch of lists of images `(3, H_i, W_i)` and of their targets.

    Example:
        >>> from vig_pyg.detection import retinanet_pvig
        >>> from vig_pyg.detection.records import DetectionDataset, ImageRecord
        >>> model = retinanet_pvig("micro", num_classes=1, min_size=64, max_size=96, out_channels=16)
        >>> few = DetectionDataset("few", [ImageRecord(Path("a.jpg"), 1, (30, 40))], ["cat"], [1])
        >>> DetectorModule(model, TrainConfig(), evaluator=CocoEvaluator(few), paths={1: Path("a.jpg")}).monitor
        'val_AP'
    """

    monitor = "val_AP"

    def __init__(
        self, model: nn.Module, config: TrainConfig, *, evaluator: CocoEvaluator, paths: Mapping[int, Path]
    ) -> None:
        super().__init__(model, config)
        self.evaluator = evaluator
        self.paths = paths

    def backbone(self) -> list[nn.Module]:
        """Return the backbone of the detector; for a model without a backbone, all parts except the last."""
        pyramid = getattr(getattr(self.model, "backbone", None), "body", None)
        return [pyramid] if isinstance(pyramid, nn.Module) else list(self.model.children())[:-1]

    def losses(self, batch: tuple[list[Tensor], list[Target]]) -> tuple[dict[str, Tensor], int]:
        images, targets = batch
        parts: dict[str, Tensor] = self.model(images, targets)
        loss = torch.stack([part.float() for part in parts.values()]).sum()
        if not loss.isfinite():  # the forward pass of a detector has already synchronized the device
            shown = ", ".join(f"{name} {part.item():.3g}" for name, part in parts.items())
            files = ", ".join(str(self.paths[int(target["image_id"])]) for target in targets)
            raise LossNotFiniteError(
                f"The loss is {loss.item()} at step {self.global_step} ({shown}) on {files}: lower the learning rate "
                f"({self.config.lr}), or look at these images."
            )
        return {"loss": loss, **parts}, len(images)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.evaluator.reset()

    def validation_step(self, batch: tuple[list[Tensor], list[Target]], _: int) -> None:
        # Padding items are not counted.
        pairs = [(image, target) for image, target in zip(*batch, strict=True) if target]
        if pairs:
            found = self.scored[0]([image for image, _ in pairs])
            self.evaluator.update([int(target["image_id"]) for _, target in pairs], found)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.world_size > 1:
            gathered: list[list[dict[str, Any]]] = [[] for _ in range(self.trainer.world_size)]
            torch.distributed.all_gather_object(gathered, self.evaluator.results)
            self.evaluator.results = [result for part in gathered for result in part]
        self.set_scores({f"val_{name}": score for name, score in self.evaluator.compute().items()})

    def describe(self, row: dict[str, float]) -> str:
        shown = f"training loss {row['train_loss']:.4f}"
        return f"{shown}, AP {percent(row['val_AP'])}, AP50 {percent(row['val_AP50'])}" if "val_AP" in row else shown
