"""The cross-shaped graph of MobileViGv2."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.edge_attr import EdgeAttr
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import StaticGraph, offset_edges


class CrossGraph(StaticGraph):
    r"""Connects each patch with the four patches `hop` steps up, down, left and right, and with itself.

    .. math:: \mathcal{N}(r, c) = \{ (r, c),\ ((r \pm h) \bmod H,\ c),\ (r,\ (c \pm h) \bmod W) \}

    on a grid of H x W patches. Each row and each column is closed to a ring, so neighbors wrap around the border
    (Mobile Graph Convolution, MobileViGv2, arXiv 2406.05850). On an axis of at most `hop` patches there are no
    neighbors.

    Args:
        hop: Distance h in patches, or in pooled cells if the sources are pooled; at least 1. The published values are
            8, 4 and 2 from the second to the last stage.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target; each patch itself comes first.

    Raises:
        ValueError: If `hop` is below 1, or the nodes are a point set without a grid.

    Example:
        >>> import torch
        >>> x = torch.rand(9, 8); layout = BatchLayout.from_sizes([(3, 3)])
        >>> CrossGraph(hop=1)(x, layout, x, layout)[0, :5].tolist()
        [0, 6, 2, 1, 3]
    """

    def __init__(self, *, hop: int = 2, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()) -> None:
        super().__init__(edge_attr=edge_attr)
        if hop < 1:
            raise ValueError(f"hop must be at least 1, got {hop}.")
        self.hop = hop

    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        rows, columns = source.grid_sizes[0] if source.grid_sizes else (1, 1)
        down, right = self.hop * (self.hop < rows), self.hop * (self.hop < columns)
        return offset_edges([(0, 0), (-down, 0), (0, -right), (0, right), (down, 0)], target, source, wrap=True)

    def extra_repr(self) -> str:
        return f"hop={self.hop}"


@register_graph("cross")
def _cross(k: int, dilation: int) -> Builder:  # noqa: ARG001  (there are at most four neighbors)
    return CrossGraph(hop=dilation)
