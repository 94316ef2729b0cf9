"""Nearest neighbors inside windows, as in WiGNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vig_pyg.data import BatchLayout, Size
from vig_pyg.graph.dilated_knn import DilatedKNN
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, attr_repr, checked_edge_attr, with_edge_attr
from vig_pyg.graph.registry import register_graph


@register_graph("window")
class WindowGraph(nn.Module):
    r"""Connects each patch with every `dilation`-th of its `k * dilation` nearest patches inside its window.

    .. math:: \mathcal{N}(i) = \mathrm{kNN}\big(i,\ \{ j : \lfloor r_j / w \rfloor = \lfloor r_i / w \rfloor,\
        \lfloor c_j / w \rfloor = \lfloor c_i / w \rfloor \}\big)

    where r and c are the row and the column of a patch (WiGNet, arXiv 2410.00807). The search of `DilatedKNN` runs in
    non-overlapping windows of w x w patches, so its cost is linear in the number of patches instead of quadratic.
    Windows at the border are smaller. Each patch is among its own neighbors.

    *Differs* from WiGNet: windows are not shifted, and no position is added to the search.

    Args:
        k: Number of neighbors of each patch, at least 1. If a window has fewer than `k * dilation` nodes, `shrink`
            reduces the dilation and then k.
        dilation: Spacing of the neighbors, at least 1.
        window: Side length w of a window in patches, a multiple of the pooling ratio of the sources. The default 8
            splits the 14 x 14 grid of the published models into 2 x 2 windows.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest features first. With `edge_attr`, to a pair of `edge_index` and the attributes `(E, D)`.

    Raises:
        ValueError: If `window` is below 1 or not a multiple of the pooling ratio, if the nodes are a point set without
            a grid, if a feature is not finite, or for the reasons of `DilatedKNN`.

    Example:
        >>> x = torch.rand(16, 8); layout = BatchLayout.from_sizes([(4, 4)])
        >>> WindowGraph(4, window=2)(x, layout, x, layout)[0, :4].sort().values.tolist()
        [0, 1, 4, 5]
    """

    def __init__(
        self, k: int, dilation: int = 1, *, window: int = 8, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()
    ) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}.")
        self.window = window
        self.edge_attr = checked_edge_attr(edge_attr)
        self.search = DilatedKNN(k, dilation)

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        edges = self._edges(x, layout, x_src, layout_src)
        return with_edge_attr(edges, self.edge_attr, x, layout, x_src, layout_src) if self.edge_attr else edges

    @torch.no_grad()
    def _edges(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Tensor:
        if layout.grid_sizes is None or layout_src.grid_sizes is None:
            raise ValueError(
                "Windows need nodes on a grid, but the batch is a point set (it has no `grid_size`): "
                'use graph="knn" for such batches.'
            )
        if self.window % layout_src.ratio:
            raise ValueError(
                f"window={self.window} must be a multiple of the pooling of the sources, {layout_src.ratio}: "
                "otherwise a pooled cell would lie in two windows."
            )
        order, windows = _windows(layout, self.window)
        if x_src is x:
            order_src, windows_src = order, windows
            found = self._found(x[order], layout, order, windows)
        else:
            order_src, windows_src = _windows(layout_src, self.window // layout_src.ratio)
            found = self._found(x[order], layout, order, windows, x_src[order_src], windows_src)
        source, target = order_src[found[0]], order[found[1]]
        by_target = target.argsort(stable=True)
        return torch.stack([source, target])[:, by_target]

    def _found(
        self,
        x: Tensor,
        layout: BatchLayout,
        order: Tensor,
        windows: BatchLayout,
        x_src: Tensor | None = None,
        windows_src: BatchLayout | None = None,
    ) -> Tensor:
        """Search for edges between nodes that are sorted by window."""
        try:
            if x_src is None or windows_src is None:
                x_src, windows_src = x, windows
            edges: Tensor = self.search(x, windows, x_src, windows_src)
            return edges
        except ValueError as error:  # its message numbers windows, but the user needs the number of the image
            bad = ~x.isfinite().all(1)
            if not bad.any():
                raise
            node = int(order[bad].min())
            raise ValueError(
                f"Feature of node {node} (image {int(layout.batch[node])} of the batch) is not finite: "
                "look for NaN or infinite pixels in that image, or for weights that have diverged."
            ) from error

    def extra_repr(self) -> str:
        return f"window={self.window}{attr_repr(self.edge_attr)}"


def _windows(layout: BatchLayout, window: int) -> tuple[Tensor, BatchLayout]:
    """Return the order of the nodes by window, and a layout in which every window is an image."""
    assert layout.grid_sizes is not None
    orders, parts, first = [], [], 0
    known: dict[Size, tuple[Tensor, list[Size]]] = {}
    for size in layout.grid_sizes:
        if size not in known:
            known[size] = _of_grid(size, window, layout.pos.device)
        order, sizes = known[size]
        orders.append(order + first)
        parts += sizes
        first += order.numel()
    return torch.cat(orders), BatchLayout.from_sizes(parts, layout.pos.device)


def _of_grid(size: Size, window: int, device: torch.device) -> tuple[Tensor, list[Size]]:
    height, width = size
    index = torch.arange(height * width, device=device).view(height, width)
    parts = [part for band in index.split(window) for part in band.split(window, dim=1)]
    return torch.cat([part.flatten() for part in parts]), [(part.size(0), part.size(1)) for part in parts]
