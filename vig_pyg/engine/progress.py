"""Display of the progress of a run: a bar on a terminal, and a line per epoch everywhere."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vig_pyg._io.numbers import per_second
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.task import Task


def training_bar(console: Console) -> Progress:
    """Return the bar of training, in the form of `vig_pyg._io.progress`, with a description such as the epoch.

    Its tasks have the field `speed`.

    Example:
        >>> training_bar(Console()).add_task("epoch 1/2", total=9, speed="")
        0
    """
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    times = TextColumn("{task.fields[speed]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    return Progress(*columns, *times, console=console, disable=not console.is_terminal)


class ProgressBar(lightning.Callback):
    """Shows the images per second, the remaining time, and the scores of every epoch.

    Args:
        console: The console to write to; by default standard error.

    Example:
        >>> ProgressBar(MetricsHistory("val_accuracy"), batch_size=8).batch_size
        8
    """

    def __init__(self, history: MetricsHistory, *, batch_size: int, console: Console | None = None) -> None:
        self.history = history
        self.batch_size = batch_size
        self.console = console or Console(stderr=True)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self._steps, self._seconds, self._last = 0, 0.0, 0.0
        self._start, self._first = 0.0, 0.0  # of an epoch, and the seconds of its first step

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        total = int(trainer.estimated_stepping_batches)
        self.bar = training_bar(self.console)
        self.task = self.bar.add_task("", total=total, completed=trainer.global_step, speed="")
        self.bar.start()
        self._describe(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._last, self._start = 0.0, time.perf_counter()  # the time of a validation is not counted
        self._describe(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        now = time.perf_counter()
        if self._last:
            self._seconds += now - self._last
            self._steps += 1
        elif not self._steps:  # epochs of one step have no time between two steps
            self._first = now - self._start
        self._last = now
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.global_step, speed=per_second(self.speed(trainer)))

    def speed(self, trainer: lightning.Trainer) -> float:
        """Training images per second over all processes, without validation."""
        steps, seconds = (self._steps, self._seconds) if self._steps else (1, self._first)
        return steps * self.batch_size / trainer.accumulate_grad_batches / seconds if seconds else 0.0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        if self.bar is None:
            return
        row = self.history.rows[-1]
        left = self._left(trainer)
        self.console.print(
            f"epoch {int(row['epoch'])}/{trainer.max_epochs}: {pl_module.describe(row)}, "
            f"{per_second(self.speed(trainer))}, "
            f"{timedelta(seconds=round(left or 0))} left",
            highlight=False,
            soft_wrap=True,
        )

    def _left(self, trainer: lightning.Trainer) -> float:
        steps = int(trainer.estimated_stepping_batches) - trainer.global_step
        speed = self.speed(trainer)
        return steps * self.batch_size / speed if speed else 0.0

    def _describe(self, trainer: lightning.Trainer) -> None:
        if self.bar is not None:
            self.bar.update(self.task, description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def teardown(self, *_: Any, **__: Any) -> None:
        """Stop the bar, also after an error, because a running bar would hide later output."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
