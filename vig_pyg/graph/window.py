"""Nearest neighbors inside windows, as in WiGNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vig_pyg.data import BatchLayout, Size
from vig_pyg.graph.dilated_knn import DilatedKNN, shrink
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, attr_repr, checked_edge_attr, with_edge_attr
from vig_pyg.graph.registry import register_graph
from vig_pyg.ops import is_exporting


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
        if not (layout.has_grids and layout_src.has_grids):
            raise ValueError(
                "Windows need nodes on a grid, but the batch is a point set (it has no `grid_size`): "
                'use graph="knn" for such batches.'
            )
        if self.window % layout_src.ratio:
            raise ValueError(
                f"window={self.window} must be a multiple of the pooling of the sources, {layout_src.ratio}: "
                "otherwise a pooled cell would lie in two windows."
            )
        sources, targets, degrees = [], [], []
        for (order, windows), (order_src, windows_src) in _groups(layout, layout_src, self.window):
            if x_src is x:
                found = self._found(x[order], layout, order, windows)
            else:
                found = self._found(x[order], layout, order, windows, x_src[order_src], windows_src)
            sources.append(order_src[found[0]])
            targets.append(order[found[1]])
            degrees.append(shrink(self.search.k, self.search.dilation, windows_src.distinct_num_nodes[0])[0])
        source, target = torch.cat(sources), torch.cat(targets)
        if is_exporting():
            return _by_target(source, target, targets, degrees, layout.num_nodes)
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


#: The order of nodes by window, and the layout in which every window is an image.
Windows = tuple[Tensor, BatchLayout]


def _groups(layout: BatchLayout, layout_src: BatchLayout, window: int) -> list[tuple[Windows, Windows]]:
    """Return the windows of targets and of sources, in groups that are searched together.

    If all images have one grid, a group has the windows of one size, so that the number of images may be open in an
    exported program. Otherwise all windows are one group.
    """
    window_src = window // layout_src.ratio
    if layout.grid_size is None or layout_src.grid_size is None:
        here = _of_different_grids(layout, window)
        return [(here, here if layout_src is layout else _of_different_grids(layout_src, window_src))]
    parts = _of_grid(layout.grid_size, window, layout.device)
    parts_src = parts if layout_src is layout else _of_grid(layout_src.grid_size, window_src, layout.device)
    groups: dict[Size, list[int]] = {}
    for i, part in enumerate(parts):
        groups.setdefault((part.size(0), part.size(1)), []).append(i)
    return [
        (_of_one_size([parts[i] for i in members], layout), _of_one_size([parts_src[i] for i in members], layout_src))
        for members in groups.values()
    ]


def _of_one_size(parts: list[Tensor], layout: BatchLayout) -> Windows:
    """Return the windows of all images, given those of one image, which all have one size."""
    first = torch.arange(layout.num_graphs, device=layout.device) * layout.distinct_num_nodes[0]
    order = torch.stack(parts) + first.view(-1, 1, 1, 1)  # (B, windows, h, w)
    size = parts[0].size(0), parts[0].size(1)
    return order.flatten(), BatchLayout.from_grid(size, layout.num_graphs * len(parts), layout.device)


def _of_different_grids(layout: BatchLayout, window: int) -> Windows:
    """Return the windows of images whose grids may differ."""
    assert layout.grid_sizes is not None
    orders, sizes, first = [], [], 0
    known: dict[Size, list[Tensor]] = {}
    for grid, count in zip(layout.grid_sizes, layout.num_nodes_per_graph, strict=True):
        if grid not in known:
            known[grid] = _of_grid(grid, window, layout.device)
        orders += [part.flatten() + first for part in known[grid]]
        sizes += [(part.size(0), part.size(1)) for part in known[grid]]
        first += count
    return torch.cat(orders), BatchLayout.from_sizes(sizes, layout.device)


def _of_grid(size: Size, window: int, device: torch.device) -> list[Tensor]:
    """Return the nodes of each window of one image, as tensors `(h, w)`."""
    height, width = size
    index = torch.arange(height * width, device=device).view(height, width)
    return [part for band in index.split(window) for part in band.split(window, dim=1)]


def _by_target(source: Tensor, target: Tensor, groups: list[Tensor], degrees: list[int], num_nodes: int) -> Tensor:
    """Sort edges by target; ONNX has no stable sort.

    Args:
        source: The sources `(E,)`.
        target: The targets `(E,)`.
        groups: The targets of each group; all edges of a target follow each other.
        degrees: The number of edges of each target of a group.
        num_nodes: Number of targets.
    """
    rank = torch.cat(
        [torch.arange(part.size(0), device=part.device) % k for part, k in zip(groups, degrees, strict=True)]
    )
    degree = target.new_zeros(num_nodes).scatter_add(0, target, torch.ones_like(target))
    place = (degree.cumsum(0) - degree)[target] + rank
    edges = torch.stack([source, target])
    return torch.empty_like(edges).scatter(1, place.expand(2, -1), edges)
