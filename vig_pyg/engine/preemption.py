"""Handling of signals that stop a run: it finishes its step, saves a checkpoint, and prints how to resume."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning

from vig_pyg._io.signals import Terminated

#: The signals that stop a run. SLURM can be configured to send SIGUSR1; by default it sends SIGTERM.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class TrainingInterrupted(Exception):  # noqa: N818  (it is no error)
    """A signal stopped the run; its checkpoint has been written.

    Args:
        signum: The signal.

    Example:
        >>> print(TrainingInterrupted(signal.SIGTERM))
        Stopped by SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Stopped by {signal.Signals(signum).name}.")
        self.signum = signum


class PreemptionHandler(lightning.Callback):
    """Remembers a signal until the run can stop; a second Ctrl-C stops at once.

    Lightning's own handler communicates with the other processes inside the signal handler, which can interfere with
    a collective operation in progress. Here the processes agree between steps.

    Args:
        at_once: If true, a signal before the first step raises `KeyboardInterrupt`, because there is nothing to save.
            After the last step, a signal always raises it.

    Example:
        >>> with PreemptionHandler().listening():
        ...     pass
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.signum = 0
        self.at_once = at_once
        self.started = False
        self._process = os.getpid()
        self._trainer: lightning.Trainer | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A context that handles the signals (in the main thread only), and then restores the previous handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {signum: signal.signal(signum, self._listen) for signum in SIGNALS}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._trainer, self.started, self.at_once = trainer, True, False
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:  # set again, because Lightning has replaced the handlers
                signal.signal(signum, self._listen)

    def on_train_end(self, *_: Any) -> None:
        self.at_once = True

    def _listen(self, signum: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # this is a worker process, which did not create this handler
            return
        if self.at_once:
            self.signum = signum
            raise KeyboardInterrupt if signum == signal.SIGINT else Terminated(signum)
        if self.signum == signal.SIGINT == signum:
            raise KeyboardInterrupt
        launcher: Any = self._trainer.strategy.launcher if self._trainer is not None else None
        if not self.signum and signum != signal.SIGINT and hasattr(launcher, "kill"):
            # Forwards the signal to the processes that we started; Ctrl-C reaches them without this.
            launcher.kill(signum)
        self.signum = signum

    def agreed(self, trainer: lightning.Trainer) -> int:
        """Return the signal if any process received one, otherwise 0; all processes must call this method together."""
        if trainer.world_size > 1:
            some = trainer.strategy.reduce_boolean_decision(bool(self.signum), all=False)
            return (self.signum or signal.SIGTERM) if some else 0
        return self.signum
