"""The last result of a computation, with its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """A cache of one entry for results that are made again and again.

    Several threads may use it: an entry is read and written in one step, so a thread never sees the key of one result
    with the value of another.

    Example:
        >>> kept = Kept()
        >>> kept.get("a", lambda: [1]) is kept.get("a", lambda: [2])
        True
    """

    def __init__(self) -> None:
        self._entry: tuple[object, T] | None = None

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The value for a key: the kept one, or a new one from `make`, which is kept instead."""
        entry = self._entry
        if entry is None or entry[0] != key:
            entry = key, make()
            self._entry = entry
        return entry[1]
