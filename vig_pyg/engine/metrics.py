"""The numbers of every epoch, the best of them, and when to stop."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Literal

import lightning
from safetensors.torch import save
from torch import Tensor

from vig_pyg._io.output import write_file
from vig_pyg.classification.module import Classifier

#: Weights with the highest held-out accuracy so far.
BEST = "best.safetensors"
#: The numbers of every epoch.
METRICS = "metrics.csv"


class MetricsHistory(lightning.Callback):
    """One row for each epoch, as `metrics.csv`; the best weights as a file; early stopping.

    Args:
        folder: Where to write; `None` writes nothing.
        keep: Whose confusion matrix counts in the end, the last or the best epoch's.
        patience: Epochs without a better accuracy before training stops; `None` never stops.
    """

    def __init__(
        self, folder: Path | None = None, *, keep: Literal["last", "best"] = "last", patience: int | None = None
    ) -> None:
        self.folder = folder
        self.keep = keep
        self.patience = patience
        self.rows: list[dict[str, float]] = []
        self.counts: Tensor | None = None

    @property
    def best(self) -> int:
        """Index of the first row with the highest accuracy."""
        return max(range(len(self.rows)), key=lambda i: self.rows[i]["val_accuracy"])

    @property
    def kept(self) -> dict[str, float]:
        """The row of the weights that are kept."""
        return self.rows[self.best if self.keep == "best" else -1]

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        trainer.should_stop = self._waited_enough()  # a run that was stopped early may be resumed

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        pl_module.check_finite()
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "train_loss": pl_module.train_loss(),
                **scores,
                "lr": trainer.optimizers[0].param_groups[-1]["lr"],
            }
        )
        improved = self.best == len(self.rows) - 1
        if self.keep == "last" or improved:
            self.counts = pl_module.confusion.compute().cpu()
        if self.folder is not None and trainer.is_global_zero:
            self._write(pl_module, self.folder, improved)
        trainer.should_stop = trainer.should_stop or self._waited_enough()

    def _write(self, module: Classifier, folder: Path, improved: bool) -> None:
        self.write(folder / METRICS)
        if improved:
            state = module.scored[0].state_dict()
            write_file(
                folder / BEST, save({key: tensor.contiguous().cpu() for key, tensor in state.items()}), overwrite=True
            )

    def _waited_enough(self) -> bool:
        return self.patience is not None and bool(self.rows) and len(self.rows) - 1 - self.best >= self.patience

    def write(self, path: Path) -> None:
        """The rows as CSV."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.rows[0]))
        writer.writeheader()
        writer.writerows(self.rows)
        write_file(path, text.getvalue(), overwrite=True)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "counts": self.counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]
        self.counts = state_dict["counts"]
