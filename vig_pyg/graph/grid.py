"""The graph of neighboring cells."""

from __future__ import annotations

from itertools import product

from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import StaticGraph, nearest_first, offset_edges


class GridGraph(StaticGraph):
    r"""Connects each patch with the eight patches around it and with itself, like a 3x3 convolution.

    .. math:: \mathcal{N}(r, c) = \{ (r + i, c + j) : i, j \in \{-1, 0, 1\} \}

    restricted to positions inside the image (the Moore neighborhood).

    Args:
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target; the patch itself comes first, then its side neighbors, then its corner neighbors. If the sources
    are pooled, each target is connected with the pooled cell that contains it and the eight cells around that cell.

    Raises:
        ValueError: If the nodes are a point set without a grid.

    Example:
        >>> import torch
        >>> x = torch.rand(9, 8); layout = BatchLayout.from_sizes([(3, 3)])
        >>> GridGraph()(x, layout, x, layout)[0, :4].tolist()
        [0, 1, 3, 4]
    """

    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        return offset_edges(nearest_first(list(product((-1, 0, 1), (-1, 0, 1)))), target, source)


@register_graph("grid")
def _grid(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the edges depend on the positions only)
    return GridGraph()
