"""What a run writes after each epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning

from vig_pyg.detection.module import DetectorModule
from vig_pyg.detection.run_folder import CHECKPOINT, write_rows, write_weights


class Keeper(lightning.Callback):
    """After each epoch: a row of numbers, the weights, and a checkpoint to go on from.

    A checkpoint is written before the first step, too: a run that is stopped in its first epoch goes on without the
    weights that it started from.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, float]] = []
        #: Whether training began, and whether a person or a signal stopped it.
        self.began = self.stopped = False
        #: Epochs in the checkpoint.
        self.saved = 0
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rows = state_dict["rows"]
        numbers = [value for row in rows for value in row.values()]
        if not all(isinstance(value, int | float) for value in numbers):
            raise TypeError("its rows of metrics.csv hold more than numbers")
        self.rows = [dict(row) for row in rows]
        self.saved = len(self.rows)

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self.began = True
        if not (self.folder / CHECKPOINT).exists():
            trainer.save_checkpoint(self.folder / CHECKPOINT)

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, DetectorModule)
        metrics = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("train_")}
        scores = {f"val_{name}": score for name, score in module.scores.items()}
        module.scores = {}
        seconds = time.perf_counter() - self._start
        self.rows.append({"epoch": trainer.current_epoch + 1, "seconds": round(seconds, 2), **metrics, **scores})
        write_rows(self.folder, self.rows)
        write_weights(self.folder, module.model)
        data: Any = getattr(trainer, "datamodule", None)
        data.epoch = trainer.current_epoch + 1
        trainer.save_checkpoint(self.folder / CHECKPOINT)
        self.saved = len(self.rows)
