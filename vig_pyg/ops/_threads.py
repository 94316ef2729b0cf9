"""Calls of Python functions on the threads that torch computes with."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vig_pyg.ops._native import library

ResultT = TypeVar("ResultT")
_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int64)


def map_on_threads(function: Callable[[int], ResultT], count: int, threads: int) -> list[ResultT]:
    """Call a function with 0, 1, ..., count - 1, on several threads at a time, and return the results.

    Python's own threads would compete with those of OpenMP, which wait for work in a busy loop. So the calls run on the
    threads of OpenMP if the native kernels were built with it, and on Python's threads otherwise. Inside a call, torch
    uses one thread, and modes of the caller such as `torch.no_grad` do not apply.

    Args:
        function: The function. For several calls to run at the same time, it must release the GIL.
        count: Number of calls.
        threads: Largest number of threads.

    Raises:
        BaseException: The first exception that the function raises, in the order of the calls.

    Example:
        >>> map_on_threads(lambda i: i * i, 4, 2)
        [0, 1, 4, 9]
    """
    results: dict[int, ResultT] = {}
    errors: dict[int, BaseException] = {}

    def call(index: int) -> None:
        try:
            results[index] = function(index)
        except BaseException as error:  # an exception cannot pass through native code
            errors[index] = error

    kernels = library() if min(count, threads) > 1 else None
    if kernels is None or kernels.vig_each(_CALLBACK(call), count, min(count, threads)):
        with ThreadPoolExecutor(max(1, min(count, threads))) as pool:
            list(pool.map(call, range(count)))
    if errors:
        raise errors[min(errors)]
    if len(results) < count:  # an interrupt before the first line of `call` ends in ctypes, which only prints it
        raise KeyboardInterrupt
    return [results[index] for index in range(count)]
