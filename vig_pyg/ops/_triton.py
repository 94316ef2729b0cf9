"""The GPU kernels, which are available if Triton is installed."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, NamedTuple

import torch

#: Largest number of images in a batch, because the second and third axis of a launch grid are limited.
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
    """Return the GPU kernels, which are imported on first use; without Triton return `None`, and log this once."""
    return _load()


@cache
def _load() -> TritonKernels | None:
    """Load the kernels for all callers; a test or benchmark can replace this function to disable all kernels."""
    try:
        from vig_pyg.ops import (
            _triton_batch_norm,
            _triton_bias_gelu,
            _triton_knn,
            _triton_max_relative,
            _triton_scatter_winners,
        )
    except ImportError as error:
        _log.warning("The GPU kernels need Triton (%s): plain torch is used instead.", error)
        return None
    return TritonKernels(
        _triton_knn, _triton_max_relative, _triton_scatter_winners, _triton_bias_gelu, _triton_batch_norm
    )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_triton_kernels() -> bool:
    """True if the GPU kernels are available."""
    return triton_kernels() is not None
