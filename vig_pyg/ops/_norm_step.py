"""One batch norm of a training step, with native kernels on a CPU and with Triton kernels on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.ops._batch_norm import NodeNorm, Norm
from vig_pyg.ops._gpu_batch_norm import GPUNorm


def norm_step(h: Tensor, norm: Norm, offset: Tensor | None, *, gelu: bool) -> NodeNorm | GPUNorm:
    """Compute the batch statistics of features and update the running statistics of the norm.

    Args:
        h: Features `(N, C)`, contiguous.
        norm: The batch norm, which is changed.
        offset: A bias that was not added to the features; it changes only the running mean.
        gelu: If true, GELU follows the batch norm.

    Example:
        >>> norm_step(torch.rand(9, 16), torch.nn.BatchNorm1d(16), None, gelu=True).apply(torch.rand(9, 16)).shape
        torch.Size([9, 16])
    """
    if not h.is_cpu:
        return GPUNorm(h, norm, offset, gelu=gelu)
    step = NodeNorm.of(h, norm, gelu=gelu)
    step.update(norm, h.size(0), torch.zeros_like(step.mean) if offset is None else offset)
    return step


def keeps_hidden(h: Tensor) -> bool:
    """True if the features before the norm should be kept for the backward pass instead of computed again.

    In bfloat16 they take as much memory as the input in float32, for two widths, and CPUs without matrix units gain
    little from bfloat16, so that a product more would cost most of the gain.

    Args:
        h: Features `(N, C)`.
    """
    return h.is_cpu and h.dtype is torch.bfloat16
