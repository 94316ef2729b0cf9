"""Signals that end a command: they come as an exception, so that what is half done is cleaned up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: What a scheduler, or a terminal that is closed, sends. Windows does not know the second.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """The process is to end; handled wherever Ctrl-C is.

    Args:
        signum: The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Ended by {signal.Signals(signum).name}.")
        self.signum = signum


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status that a shell shows for a process that a signal has ended.

    Example:
        >>> exit_status(KeyboardInterrupt()), exit_status(Terminated(15))
        (130, 143)
    """
    return 128 + (stop.signum if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def signals_raise() -> Iterator[None]:
    """Raise `Terminated` where one of `SIGNALS` comes inside the block; handlers that were there before stay.

    Only in the main thread, and not in processes that are forked off.
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
