"""The number of cores that a process may use."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Return the number of cores on which this process may run, which can be fewer than the machine has.

    More processes that read images than cores only slow each other down, and torch warns about them.

    Example:
        >>> 1 <= num_cores() <= (os.cpu_count() or 1)
        True
    """
    allowed = getattr(os, "sched_getaffinity", None)  # macOS and Windows do not have this function
    return len(allowed(0)) if allowed else os.cpu_count() or 1
