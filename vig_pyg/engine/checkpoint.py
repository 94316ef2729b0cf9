"""Checkpoints from which an interrupted run continues with the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from vig_pyg.engine.data import TrainData
from vig_pyg.engine.preemption import PreemptionHandler, TrainingInterrupted
from vig_pyg.engine.task import Task

#: The newest checkpoint of a run.
LAST = "last.ckpt"


class CheckpointCallback(lightning.Callback):
    """Writes a checkpoint after every epoch, optionally every `every` steps, and when a signal stops the run.

    It must be the last callback, so that the checkpoint contains the state of the other callbacks after the step.

    Args:
        every: Number of steps between two checkpoints within an epoch; `None` writes none within epochs.

    Example:
        >>> CheckpointCallback(Path("runs/mine"), PreemptionHandler(), every=500).path.name
        'last.ckpt'
    """

    def __init__(self, folder: Path, stop: PreemptionHandler, *, every: int | None = None) -> None:
        self.path = folder / LAST
        self.stop = stop
        self.every = every
        self.saved: int | None = None
        self._step = 0

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *rest: Any) -> None:
        batch_idx: int = rest[2]  # the arguments before it are the result of the step and the batch
        stepped, self._step = trainer.global_step > self._step, trainer.global_step
        if not stepped or batch_idx + 1 >= trainer.num_training_batches:
            return  # gradients are still being added, or a checkpoint follows at the end of the epoch
        signum = self.stop.agreed(trainer)
        if signum or (self.every is not None and trainer.global_step % self.every == 0):
            self._save(trainer, pl_module, (trainer.current_epoch, batch_idx + 1))
        if signum:
            raise TrainingInterrupted(signum)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._save(trainer, pl_module, (trainer.current_epoch + 1, 0))
        if (signum := self.stop.agreed(trainer)) and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise TrainingInterrupted(signum)

    def _save(self, trainer: lightning.Trainer, module: lightning.LightningModule, place: tuple[int, int]) -> None:
        assert isinstance(module, Task)
        module.check_finite()
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, TrainData):
            data.place = place
        trainer.save_checkpoint(self.path)
        self.saved = trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        return {"saved": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = self._step = state_dict["saved"]
