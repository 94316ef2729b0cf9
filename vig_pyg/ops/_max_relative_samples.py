"""Max-relative aggregation for several samples in one call: the batching rules of the forward and the backward pass.

The nodes of the samples become nodes of one graph, without edges between samples. Shapes: V samples, sources
`(V, M, C)`, targets `(V, N, C)`, edges `(V, 2, E)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vig_pyg.ops._transforms import of_samples, shifts
from vig_pyg.ops.checks import check_range

Dims = tuple[int | None, ...]


def forward_rule(call: Callable[..., Any], samples: int, dims: Dims, *args: Any) -> Any:
    """Aggregate all samples at once.

    Args:
        call: The function `(x_src, x_dst, edge_index, winners, by_target)`.
        samples: Number of samples V.
        dims: The dimension of the samples in each argument.
        args: The arguments of `call`.
    """
    x_src, x_dst, edge_index = (of_samples(samples, part, dim) for part, dim in zip(args[:3], dims, strict=False))
    (m, n), (winners, by_target) = (x_src.size(1), x_dst.size(1)), args[3:]
    edges = _joined(edge_index, m, n, by_target)
    out, slots = call(x_src.flatten(0, 1), x_dst.flatten(0, 1), edges, winners, by_target)
    slots = slots.view(samples, -1, slots.size(1))  # (V N, C) -> (V, N, C); N is 0 if there are no winners
    return (out.view(samples, n, -1), _moved(slots, m, -1)), (0, 0)


def backward_rule(call: Callable[..., Any], samples: int, dims: Dims, *args: Any) -> Any:
    """Compute the gradients of all samples at once.

    Args:
        call: The function `(grad, edge_index, slots, num_src, by_target)`.
    """
    grad, edge_index, slots = (of_samples(samples, part, dim) for part, dim in zip(args[:3], dims, strict=False))
    m, by_target = args[3:]
    n = slots.size(1)
    edges = _joined(edge_index, m, n, by_target)
    slots = _moved(slots, m, 1).flatten(0, 1)
    to_src, to_dst = call(grad.flatten(0, 1), edges, slots, samples * m, by_target)
    return (to_src.view(samples, m, -1), to_dst.view(samples, n, -1)), (0, 0)


def _joined(edge_index: Tensor, m: int, n: int, by_target: bool) -> Tensor:
    """Join the edges of all samples, `(V, 2, E)` to `(2, V E)`; indices refer to the nodes of all samples."""
    # An index out of range would refer to a node of the next sample.
    if not (by_target and edge_index.device.type != "cpu"):
        check_range(edge_index.transpose(0, 1).flatten(1), m, n)
    return (edge_index.long() + shifts(edge_index.size(0), m, n, like=edge_index)).transpose(0, 1).flatten(1)


def _moved(slots: Tensor, m: int, sign: int) -> Tensor:
    """Convert winners `(V, N, C)` between indices within a sample and over all samples; positions do not change."""
    if slots.dtype is torch.uint8:
        return slots
    first = shifts(slots.size(0), m, like=slots)  # (V, 1, 1)
    return torch.where(slots < 0, slots, slots + sign * first.to(slots.dtype))
