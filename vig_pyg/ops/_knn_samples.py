"""Neighbor search for several samples in one call: the batching rules of `knn` and `knn_max_relative`.

The images of the samples become images of one batch. Shapes: V samples, targets `(V, B, n, C)`, sources
`(V, B, m, C)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from vig_pyg.ops._transforms import of_samples, shifts

Dims = tuple[int | None, ...]


def knn_rule(call: Callable[..., Any], samples: int, dims: Dims, *args: Any) -> Any:
    """Search in all samples at once.

    Args:
        call: The function `(x, y, k, step, bias, ...)`, which returns edges `(2, E)`.
        samples: Number of samples V.
        dims: The dimension of the samples in each argument.
        args: The arguments of `call`.
    """
    x, y, joined = _joined(samples, dims, args)
    edges = call(*joined)
    first = shifts(samples, x.size(1) * y.size(2), x.size(1) * x.size(2), like=edges)  # (V, 2, 1)
    return edges.view(2, samples, -1) - first.transpose(0, 1), 1


def knn_max_relative_rule(call: Callable[..., Any], samples: int, dims: Dims, *args: Any) -> Any:
    """Search and aggregate in all samples at once.

    Args:
        call: The function `(x, y, k, step, bias, ..., winners)`, which returns features `(B n, 2 C)` and winners `(B n,
            C)`.
    """
    out, won = call(*_joined(samples, dims, args)[2])
    return (_split(out, samples), _split(won, samples)), (0, 0)


def knn_max_relative_backward_rule(call: Callable[..., Any], samples: int, dims: Dims, *args: Any) -> Any:
    """Compute the gradients of all samples at once.

    Args:
        call: The function `(grad, winners, num_src, images)`.
    """
    grad, won = (of_samples(samples, part, dim).flatten(0, 1) for part, dim in zip(args[:2], dims, strict=False))
    to_src, to_dst = call(grad, won, samples * args[2], samples * args[3])
    return (_split(to_src, samples), _split(to_dst, samples)), (0, 0)


def _joined(samples: int, dims: Dims, args: tuple[Any, ...]) -> tuple[Tensor, Tensor, tuple[Any, ...]]:
    """Return targets and sources of the samples, and the arguments of one call for all samples."""
    x, y = of_samples(samples, args[0], dims[0]), of_samples(samples, args[1], dims[1])
    k, step, bias, *rest = args[2:]
    if bias is not None and (dims[4] is not None or bias.size(0) > 1):  # the bias differs between images
        bias = of_samples(samples, bias, dims[4])
        bias = bias.expand(-1, x.size(1), -1, -1).flatten(0, 1)  # (V, 1 or B, rows, m) -> (V B, rows, m)
    return x, y, (x.flatten(0, 1), y.flatten(0, 1), k, step, bias, *rest)


def _split(nodes: Tensor, samples: int) -> Tensor:
    """Split the nodes by sample, `(V N, C)` to `(V, N, C)`; N may be 0."""
    return nodes.view(samples, -1, nodes.size(1))
