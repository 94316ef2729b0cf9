"""The axial graph of MobileViG."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vig_pyg.data import BatchLayout, Size
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.edge_attr import EdgeAttr
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import StaticGraph, nearest_first, offset_edges


class AxialGraph(StaticGraph):
    r"""Connects each patch with every `stride`-th patch of its row and its column, and with itself.

    .. math:: \mathcal{N}(r, c) = \{ (r, c + s m) \} \cup \{ (r + s m, c) \}, \quad m \in \mathbb{Z}

    restricted to positions inside the image (Sparse Vision Graph Attention, MobileViG, arXiv 2307.00395).

    *Differs* by default from the published code, which rolls the feature map, so that its neighbors wrap around the
    border:

    .. math:: \mathcal{N}(r, c) = \{ ((r - s m) \bmod H,\ c) : 0 \le s m < H \}
        \cup \{ (r,\ (c - s m) \bmod W) : 0 \le s m < W \}

    on a grid of H x W patches (`wrap=True`). Both give the same neighbors if `stride` divides the height and the width.

    Args:
        stride: Spacing s in patches, or in pooled cells if the sources are pooled; at least 1. The published value
            is 2.
        wrap: If true, each row and each column is closed to a ring, and the neighbors are the patches s, 2 s, 3 s, ...
            steps up and to the left, once around the ring. This is the published graph.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest in the image first.

    Raises:
        ValueError: If `stride` is below 1, or the nodes are a point set without a grid.

    Example:
        >>> import torch
        >>> x = torch.rand(9, 8); layout = BatchLayout.from_sizes([(3, 3)])
        >>> AxialGraph()(x, layout, x, layout)[0, :3].tolist()
        [0, 2, 6]
    """

    def __init__(self, *, stride: int = 2, wrap: bool = False, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()) -> None:
        super().__init__(edge_attr=edge_attr)
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}.")
        self.stride = stride
        self.wrap = wrap

    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        rows, columns = source.grid_sizes[0] if source.grid_sizes else (1, 1)
        if self.wrap:
            return offset_edges(axial_offsets((rows, columns), self.stride), target, source, wrap=True)
        down = [step for i in range(self.stride, rows, self.stride) for step in (-i, i)]
        right = [step for i in range(self.stride, columns, self.stride) for step in (-i, i)]
        offsets = [(0, 0), *((step, 0) for step in down), *((0, step) for step in right)]
        return offset_edges(nearest_first(offsets), target, source)

    def extra_repr(self) -> str:
        return f"stride={self.stride}{', wrap=True' if self.wrap else ''}"


def axial_offsets(size: Size, stride: int) -> list[tuple[int, int]]:
    """Return the offsets of a patch itself, and of every `stride`-th patch of its ring of rows and of columns.

    Args:
        size: The grid (H, W).
        stride: Spacing in patches, at least 1.

    Returns:
        Offsets (row, column), 0 or negative, the nearest on the rings first.

    Example:
        >>> axial_offsets((4, 5), 2)
        [(0, 0), (0, -4), (-2, 0), (0, -2)]
    """
    rows, columns = size
    offsets = [
        (0, 0),
        *((-i, 0) for i in range(stride, rows, stride)),
        *((0, -j) for j in range(stride, columns, stride)),
    ]

    def length(offset: tuple[int, int]) -> int:
        return sum(min(-step, side + step) for step, side in zip(offset, size, strict=True) if step)

    return sorted(offsets, key=lambda offset: (length(offset), offset))


@register_graph("axial")
def _axial(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the edges depend on the positions only)
    return AxialGraph()


@register_graph("axial_rings")
def _axial_rings(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the number of neighbors depends on the grid)
    return AxialGraph(stride=dilation, wrap=True)
