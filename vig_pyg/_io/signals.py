"""Conversion of signals that end a command into exceptions, so that unfinished work is cleaned up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: The signals of a scheduler and of a closed terminal. Windows does not have the second.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """A signal requests the end of the process; the same code handles this exception and Ctrl-C."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"Ended by {signal.Signals(signum).name}.")
        self.signum = signum


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status that a shell shows for a process ended by a signal.

    Example:
        >>> exit_status(KeyboardInterrupt()), exit_status(Terminated(15))
        (130, 143)
    """
    return 128 + (stop.signum if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def signals_raise() -> Iterator[None]:
    """A context in which one of `SIGNALS` raises `Terminated`; existing handlers are not replaced.

    This works only in the main thread, and not in forked processes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(signum: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a worker has nothing to clean up
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        raise Terminated(signum)

    free = [signum for signum in SIGNALS if signal.getsignal(signum) is signal.SIG_DFL]
    for signum in free:
        signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum in free:
            signal.signal(signum, signal.SIG_DFL)
