"""A moving average of the weights, scored in place of them."""

from __future__ import annotations

from typing import Any

import lightning
from timm.utils.model_ema import ModelEmaV3

from vig_pyg.engine.task import Task


class EMA(lightning.Callback):
    """Keeps timm's moving average of the network, batch statistics too, and has it scored.

    Lightning's own callback averages buffers that are made as training goes, such as kept position codes, and would
    pair the wrong ones; timm's takes what is saved with the weights.

    Args:
        decay: Decay of the average; 0.99996 is published, for 300 epochs of ImageNet.
        warmup: If true, the decay grows to that value, for runs of few steps.
    """

    def __init__(self, decay: float, *, warmup: bool = False) -> None:
        self.decay = decay
        self.warmup = warmup
        self.average: ModelEmaV3 | None = None
        self.steps = 0
        self._loaded: dict[str, Any] | None = None

    def on_fit_start(self, _: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        self.average = ModelEmaV3(pl_module.model, decay=self.decay, use_warmup=self.warmup)
        self.average.requires_grad_(False)
        if self._loaded is not None:
            self.average.module.load_state_dict(self._loaded)
            self._loaded = None
        pl_module.scored = [self.average.module]

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Task) and self.average is not None
        if trainer.global_step > self.steps:  # not where gradients were only added
            self.steps = trainer.global_step
            self.average.update(pl_module.model, step=self.steps)

    def state_dict(self) -> dict[str, Any]:
        assert self.average is not None
        return {"steps": self.steps, "average": self.average.module.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]
        self._loaded = state_dict["average"]
