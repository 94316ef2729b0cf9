"""Suppresses Pillow's warnings about harmless damage, and about sizes, which `_limits` checks."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside: list[warnings.catch_warnings[None]] = []
_count = 0


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """A context without warnings from Pillow. Concurrent threads share one filter, and the last thread removes it."""
    global _count
    with _lock:
        _count += 1
        if _count == 1:
            _inside.append(warnings.catch_warnings())
            _inside[0].__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _lock:
            _count -= 1
            if _count == 0:
                _inside.pop().__exit__(None, None, None)
