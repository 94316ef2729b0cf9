"""Lets the C library keep freed memory in the commands, unless the user has chosen how it allocates.

A training step frees and allocates the same large tensors again and again. By default glibc returns such memory to the
system, and each new page costs an interruption. A program that imports the library keeps its own settings.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from vig_pyg._waiting import is_command

#: Variables with which a user chooses how glibc allocates.
CHOICES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")
#: Parameters of glibc's `mallopt` (`malloc.h`): free memory that is kept, and the size from which memory is mapped.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGE = 2**30
#: The largest threshold that older versions of glibc accept.
ACCEPTED = 2**25


def keep_freed_memory(
    arguments: Sequence[str], environment: Mapping[str, str], find: Callable[[], Callable[[int, int], int] | None]
) -> bool:
    """Let a command keep up to 1 GiB of freed memory, unless the user has chosen how memory is allocated.

    Args:
        find: Function that returns `mallopt` of the C library, or `None` where there is none.

    Returns:
        True if the settings were changed.

    Example:
        >>> keep_freed_memory(["python", "-m", "vig_pyg", "train"], {"MALLOC_TOP_PAD_": "0"}, lambda: None)
        False
    """
    if not is_command(arguments) or any(name in environment for name in CHOICES) or (mallopt := find()) is None:
        return False
    # Either setting alone would switch off glibc's own adaptation, and map even small tensors anew each time.
    accepted = mallopt(MMAP_THRESHOLD, LARGE) or mallopt(MMAP_THRESHOLD, ACCEPTED)
    return bool(accepted and mallopt(TRIM_THRESHOLD, LARGE))


def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function; other C libraries have none, or other parameters."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
    except OSError:  # of a static interpreter
        return None
    found: Callable[[int, int], int] | None = getattr(library, "mallopt", None)
    return found if hasattr(library, "gnu_get_libc_version") else None


keep_freed_memory(sys.orig_argv, os.environ, _mallopt)
