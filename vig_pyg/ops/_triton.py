"""The kernels for GPUs, where Triton is there."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, NamedTuple

import torch

#: Images of a batch at most: what the second and third axis of a grid can count.
MOST_IMAGES = 2**16 - 1
_log = logging.getLogger(__name__)


class TritonKernels(NamedTuple):
    """The modules of the kernels: search, gathered maxima, their gradients, bias and GELU, batch norm."""

    search: Any
    gather: Any
    scatter: Any
    bias_gelu: Any
    batch_norm: Any


def triton_kernels() -> TritonKernels | None:
    """The kernels for GPUs, or `None` without Triton, which is logged once. They are imported when a GPU needs them."""
    return _load()


@cache
def _load() -> TritonKernels | None:
    """What every caller sees: a test or benchmark that replaces this function switches all kernels off at once."""
    try:
        from vig_pyg.ops import (
            _triton_batch_norm,
            _triton_bias_gelu,
            _triton_knn,
            _triton_max_relative,
            _triton_scatter_winners,
        )
    except ImportError as error:
        _log.warning("The kernels for GPUs need Triton (%s): plain torch takes their place.", error)
        return None
    return TritonKernels(
        _triton_knn, _triton_max_relative, _triton_scatter_winners, _triton_bias_gelu, _triton_batch_norm
    )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_triton_kernels() -> bool:
    """Whether the kernels for GPUs can be used."""
    return triton_kernels() is not None
