"""The metrics of every epoch, the selection of the best epoch, and early stopping."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Literal

import lightning
from safetensors.torch import save
from torch import Tensor

from vig_pyg._io.output import write_file
from vig_pyg.artifact import BEST
from vig_pyg.engine.task import Task

#: The numbers of every epoch.
METRICS = "metrics.csv"


class MetricsHistory(lightning.Callback):
    """Records one row per epoch (`metrics.csv`), saves the best weights, and stops training early.

    Args:
        monitor: Name of the score; the highest value is the best.
        folder: The run folder; with `None` nothing is written.
        keep: Epoch whose weights are saved and whose figures are drawn at the end: `"last"` or `"best"`.
        patience: Number of evaluations without a better score before training stops; `None` never stops.
        evaluate_every: Number of epochs between two evaluations; the last epoch is always evaluated.

    Example:
        >>> history = MetricsHistory("val_accuracy")
        >>> history.rows = [{"val_accuracy": 0.5}, {"val_accuracy": 0.9}, {"val_accuracy": 0.8}]
        >>> history.best
        1
    """

    def __init__(
        self,
        monitor: str,
        folder: Path | None = None,
        *,
        keep: Literal["last", "best"] = "last",
        patience: int | None = None,
        evaluate_every: int = 1,
    ) -> None:
        self.monitor = monitor
        self.folder = folder
        self.keep = keep
        self.patience = patience
        self.evaluate_every = evaluate_every
        self.rows: list[dict[str, float]] = []
        self.steps: list[dict[str, float]] = []  # the losses of each step of a run of one epoch
        self.counts: Tensor | None = None

    @property
    def best(self) -> int | None:
        """Index of the first row with the highest score; `None` before the first evaluation."""
        scored = [i for i, row in enumerate(self.rows) if self.monitor in row]
        return max(scored, key=lambda i: self.rows[i][self.monitor]) if scored else None

    @property
    def kept(self) -> dict[str, float]:
        """The row of the epoch whose weights are saved."""
        best = self.best
        return self.rows[-1 if self.keep == "last" or best is None else best]

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        trainer.should_stop = self._waited_enough()  # the run may have been stopped early before it was resumed
        self._plan_evaluation(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._plan_evaluation(trainer)

    def _plan_evaluation(self, trainer: lightning.Trainer) -> None:
        last = trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if last else self.evaluate_every

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        pl_module.check_finite()
        scores, pl_module.scores = pl_module.scores, {}
        rate = trainer.optimizers[0].param_groups[-1]["lr"]
        self.rows.append({"epoch": trainer.current_epoch + 1, **pl_module.train_losses(), **scores, "lr": rate})
        self.steps = pl_module.step_losses()
        improved = self.best == len(self.rows) - 1
        if scores and (self.keep == "last" or improved):
            self.counts = None if pl_module.counts is None else pl_module.counts.cpu()
        if self.folder is not None and trainer.is_global_zero:
            self._write(pl_module, self.folder, improved)
        trainer.should_stop = trainer.should_stop or self._waited_enough()

    def _write(self, module: Task, folder: Path, improved: bool) -> None:
        self.write(folder / METRICS)
        if improved:
            state = module.scored[0].state_dict()
            write_file(
                folder / BEST, save({key: tensor.contiguous().cpu() for key, tensor in state.items()}), overwrite=True
            )

    def _waited_enough(self) -> bool:
        best = self.best
        return self.patience is not None and best is not None and len(self.rows) - 1 - best >= self.patience

    def write(self, path: Path) -> None:
        """Write the rows as CSV; the scores of an epoch without evaluation are empty."""
        columns = [*dict.fromkeys(name for row in self.rows for name in row if name != "lr"), "lr"]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_file(path, text.getvalue(), overwrite=True)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "steps": self.steps, "counts": self.counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rows, steps = state_dict["rows"], state_dict.get("steps", [])
        if not all(isinstance(value, int | float) for row in (*rows, *steps) for value in row.values()):
            raise TypeError("its rows of metrics.csv contain values that are not numbers")
        self.rows, self.steps = [dict(row) for row in rows], [dict(row) for row in steps]
        self.counts = state_dict["counts"]
