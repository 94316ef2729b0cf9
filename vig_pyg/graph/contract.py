"""The protocols of graph builders and of the factories that create them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.graph.edge_attr import Edges


class Builder(Protocol):
    """A callable that builds the edges of one Grapher.

    Any callable with this signature is a builder; `vig_pyg.testing.assert_builder` checks the contract.

    Args:
        x: Features of the targets, `(N, C)`.
        layout: Layout of the targets.
        x_src: Features of the sources, `(M, C)`; the same object as `x` if the sources are not pooled.
        layout_src: Layout of the sources; the same object as `layout` if the sources are not pooled.

    Shapes: targets `(N, C)` and sources `(M, C)` to `edge_index (2, E)`, int64. Row 0 holds the sources (neighbors) and
    row 1 the targets (centers). The edges are sorted by target, with the nearest neighbor first. No edge may connect
    two images. A builder may return a pair `(edge_index, edge_attr)` instead, with attributes `(E, D)` or weights
    `(E,)` in the order of the edges; the operator receives them if its `forward` has an argument `edge_attr` or
    `edge_weight`.

    Example:
        >>> import torch
        >>> def only_self(x, layout, x_src, layout_src):
        ...     return torch.arange(len(x)).repeat(2, 1)
        >>> from vig_pyg import vig_micro
        >>> model = vig_micro(graph=lambda k, dilation: only_self)
    """

    def __call__(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges: ...


class GraphFactory(Protocol):
    """A callable that creates the builder of one Grapher, such as the class `DilatedKNN`.

    Args:
        k: Number of neighbors of each patch, at least 1.
        dilation: Spacing of the neighbors, at least 1.

    Example:
        >>> from vig_pyg.graph import GridGraph
        >>> factory: GraphFactory = lambda k, dilation: GridGraph()
        >>> factory(9, 1)
        GridGraph()
    """

    def __call__(self, k: int, dilation: int) -> Builder: ...
