"""Columns of the largest scores of each row: a native kernel on processors, `torch.topk` elsewhere.

Equation: out[r, i] is the column of rank `i * step` of row r, best first. The native kernel reads a row twice: for a
bound (the k-th largest of the maxima of 16 to 512 interleaved parts), and for the few scores that reach it, which it
ranks against each other without a branch. `torch.topk` partitions each row, with unpredictable branches.
"""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


@cache
def _library() -> Any:
    """The compiled kernels, or `None` where they were not built."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_cpu{suffix}")
        if not path.is_file():
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:  # another OpenMP, say: the plain path does the same, slower
            _log.warning("The native kernels at %s do not load (%s): torch.topk takes their place.", path, error)
            return None
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        library.vig_topk.argtypes = [pointer, number, number, number, number, pointer, number]
        library.vig_topk.restype = ctypes.c_int
        return library
    _log.info("vig_pyg was installed without its native kernels (no C compiler): torch.topk takes their place.")
    return None


def has_native_topk() -> bool:
    """Whether the native kernel was built and loads."""
    return _library() is not None


def topk_columns(scores: Tensor, k: int, step: int = 1) -> Tensor:
    """Columns of every `step`-th of the k largest scores of each row, best first.

    Args:
        scores: `(..., m)`, finite, m at least k.
        k: How many of the largest are looked at.
        step: Which of them stay: ranks 0, step, 2 step, ...

    Returns:
        `(..., ⌈k / step⌉)`, int64.

    Raises:
        ValueError: If k is not between 1 and m, or step is below 1.

    Example:
        >>> topk_columns(torch.tensor([[3.0, 1.0, 4.0, 1.5, 5.0]]), 3, step=2).tolist()
        [[4, 0]]
    """
    if not 1 <= k <= scores.size(-1) or step < 1:
        raise ValueError(f"Need 1 <= k <= {scores.size(-1)} (the columns) and step >= 1, got k={k} and step={step}.")
    out: Tensor = torch.ops.vig_pyg.topk_columns(scores, k, step)
    return out


def _generic(scores: Tensor, k: int, step: int) -> Tensor:
    return scores.topk(k, dim=-1).indices[..., ::step].contiguous()


def _cpu(scores: Tensor, k: int, step: int) -> Tensor:
    library = _library()
    if library is None or scores.dtype != torch.float32:
        return _generic(scores, k, step)
    scores = scores.contiguous()
    m = scores.size(-1)
    out = torch.empty(*scores.shape[:-1], -(-k // step), dtype=torch.long)
    rows = scores.numel() // m
    if library.vig_topk(scores.data_ptr(), rows, m, k, step, out.data_ptr(), torch.get_num_threads()):
        raise MemoryError(f"No memory to rank rows of {m} scores.")
    return out


def _fake(scores: Tensor, k: int, step: int) -> Tensor:
    return scores.new_empty(*scores.shape[:-1], -(-k // step), dtype=torch.long)


torch.library.define("vig_pyg::topk_columns", "(Tensor scores, int k, int step) -> Tensor")
torch.library.impl("vig_pyg::topk_columns", "CompositeExplicitAutograd", _generic)
torch.library.impl("vig_pyg::topk_columns", "CPU", _cpu)
torch.library.register_fake("vig_pyg::topk_columns", _fake)
