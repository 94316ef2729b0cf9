"""A moving average of the weights, which is evaluated instead of the weights."""

from __future__ import annotations

from typing import Any

import lightning
from timm.utils.model_ema import ModelEmaV3

from vig_pyg.engine.task import Task


class EMA(lightning.Callback):
    """Updates a moving average (timm's) of the network and its batch statistics, which is evaluated instead.

    Lightning's own callback would also average buffers that are created during training, such as cached position codes,
    and would match them wrongly. timm's average uses only the state dict.

    Args:
        decay: Decay of the average; the published value is 0.99996, for 300 epochs of ImageNet.
        warmup: If true, the decay starts small and grows to `decay`, for runs of few steps.

    Example:
        >>> EMA(0.9999, warmup=True).decay
        0.9999
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
        if trainer.global_step > self.steps:  # skip batches whose gradients were only accumulated
            self.steps = trainer.global_step
            self.average.update(pl_module.model, step=self.steps)

    def state_dict(self) -> dict[str, Any]:
        assert self.average is not None
        return {"steps": self.steps, "average": self.average.module.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]
        self._loaded = state_dict["average"]
