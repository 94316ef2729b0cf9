"""Training and validation steps of a detector."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor

from vig_pyg.detection.builders import Detector
from vig_pyg.detection.config import DetectionConfig
from vig_pyg.detection.data import DetectionData
from vig_pyg.detection.evaluate import CocoEvaluator
from vig_pyg.detection.transform import Target
from vig_pyg.engine.seeds import seed_of, set_seed
from vig_pyg.engine.warmup import Warmup


class DetectorModule(lightning.LightningModule):
    """The losses of torchvision's detector, AdamW, average precision on the validation pictures.

    Args:
        model: The detector.
        data: Its pictures; their names stand in errors.
        recipe: Numbers of the run.
    """

    def __init__(self, model: Detector, data: DetectionData, recipe: DetectionConfig) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.paths = {record.image_id: record.path for record in data.train_set.source.records}
        self.evaluator = CocoEvaluator(data.val_set.source, masks=data.val_set.masks)
        self.scores: dict[str, float] = {}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002  (Lightning's signature)
        # a run that was interrupted goes on with the same samples of boxes and dropped paths
        set_seed(seed_of(self.recipe.seed, self.current_epoch, batch_idx, self.global_rank, 1))

    def training_step(self, batch: tuple[list[Tensor], list[Target]], _: int) -> Tensor:
        images, targets = batch
        losses: dict[str, Tensor] = self.model(images, targets)
        loss = torch.stack([part.float() for part in losses.values()]).sum()
        if not loss.isfinite():
            parts = ", ".join(f"{name} {part.item():.3g}" for name, part in losses.items())
            files = ", ".join(str(self.paths[int(target["image_id"])]) for target in targets)
            raise ValueError(
                f"The loss is {loss.item()} at step {self.global_step} ({parts}) on {files}: lower the learning rate "
                f"({self.recipe.lr}), or look at these pictures."
            )
        named = {"train_loss": loss, **{f"train_{name}": part for name, part in losses.items()}}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=len(images))
        self.log("loss", loss, on_step=True, on_epoch=False, prog_bar=True, logger=False, batch_size=len(images))
        return loss

    def on_validation_epoch_start(self) -> None:
        self.evaluator.reset()

    def validation_step(self, batch: tuple[list[Tensor], list[Target]], _: int) -> None:
        images, targets = batch
        self.evaluator.update([int(target["image_id"]) for target in targets], self.model(images))

    def on_validation_epoch_end(self) -> None:
        self.scores = self.evaluator.compute()
        for name in ("AP", "AP50"):
            self.log(f"val_{name}", self.scores[name], prog_bar=True)

    def configure_optimizers(self) -> Any:
        parameters = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        decayed = [p for name, p in parameters if p.dim() > 1 and "pos_embed" not in name]
        others = [p for name, p in parameters if p.dim() <= 1 or "pos_embed" in name]
        groups = [
            {"params": decayed, "weight_decay": self.recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.recipe.lr, eps=1e-8)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps, self.recipe))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate(step: int, steps: int, recipe: DetectionConfig) -> float:
    """Share of the largest learning rate at a step.

    Args:
        step: From 0.
        steps: Steps of the whole run.
        recipe: Schedule and warm-up.

    Example:
        >>> recipe = DetectionConfig(train="a", val="b", warmup="0%")
        >>> [round(rate(step, 12, recipe), 3) for step in (0, 7, 8, 11)]
        [1.0, 1.0, 0.1, 0.01]
    """
    rise = Warmup.parse(recipe.warmup).steps(total=steps, epochs=recipe.epochs)
    if step < rise:
        return (step + 1) / rise
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
    return float(0.1 ** sum(step >= steps * share / 12 for share in (8, 11)))
