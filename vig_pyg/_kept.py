"""The last result of a computation, with its key, and tensors that all streams of a GPU may read."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

T = TypeVar("T")


class Kept(Generic[T]):
    """A cache with one entry, for a result that is needed repeatedly.

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
        """Return the cached value for a key, or call `make` and cache the new value in its place."""
        entry = self._entry
        if entry is None or entry[0] != key:
            entry = key, make()
            self._entry = entry
        return entry[1]

    def clear(self) -> None:
        """Remove the cached value."""
        self._entry = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy, entry = type(self)(), self._entry
        if entry is not None:
            key, value = entry
            # torch's own `deepcopy` increases the version counter of a tensor
            new: Any = value.clone() if isinstance(value, Tensor) else deepcopy(value, memo)
            copy._entry = deepcopy(key, memo), new
        return copy


def settle(*tensors: Tensor) -> None:
    """Wait until a GPU has written tensors that will be cached.

    Work on one stream is not ordered with that on others. The next caller may use another stream, such as that of a
    thread of its own, and would then read memory that is not yet written. Results are cached rarely, so this seldom
    waits. While a CUDA graph is captured, nothing runs and nothing can be waited for.

    Example:
        >>> settle(torch.zeros(3))
    """
    for device in {tensor.device for tensor in tensors if tensor.is_cuda and not isinstance(tensor, FakeTensor)}:
        if not (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()):
            torch.cuda.current_stream(device).synchronize()
