"""The logarithmic graph, after LogViG."""

from __future__ import annotations

from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import StaticGraph, nearest_first, offset_edges


class LogGraph(StaticGraph):
    r"""Connects each patch with itself and the patches at distance 1, 2, 4, 8, ... in its row and its column.

    .. math:: \mathcal{N}(r, c) = \{ (r, c) \} \cup \{ (r, c \pm 2^m) \} \cup \{ (r \pm 2^m, c) \},
        \quad m = 0, 1, 2, \dots

    restricted to positions inside the image (after Logarithmic Scalable Graph Construction, LogViG, arXiv
    2510.13740). The number of neighbors grows with the logarithm of the height and the width. Neighbors do not wrap
    around the border.

    Args:
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest in the image first. If the sources are pooled, distances are measured in pooled cells.

    Raises:
        ValueError: If the nodes are a point set without a grid.

    Example:
        >>> import torch
        >>> x = torch.rand(6, 8); layout = BatchLayout.from_sizes([(1, 6)])
        >>> LogGraph()(x, layout, x, layout)[0, :4].tolist()
        [0, 1, 2, 4]
    """

    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        rows, columns = source.grid_sizes[0] if source.grid_sizes else (1, 1)
        offsets, step = [(0, 0)], 1
        while step < max(rows, columns):
            offsets += [(-step, 0), (0, -step), (0, step), (step, 0)]
            step *= 2
        return offset_edges(nearest_first(offsets), target, source)


@register_graph("log")
def _logarithmic(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the edges depend on the positions only)
    return LogGraph()
