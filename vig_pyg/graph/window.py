"""Nearest neighbors inside windows, as in WiGNet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vig_pyg.data import BatchLayout, Size
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.dilated_knn import DilatedKNN, shrink
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, attr_repr, checked_edge_attr, with_edge_attr
from vig_pyg.graph.registry import register_graph
from vig_pyg.ops import is_exporting
from vig_pyg.position import PositionMode

#: The smallest number of neighbors in an adaptive search, as published.
LEAST_NEIGHBORS = 3


@register_graph("window")
class WindowGraph(nn.Module):
    r"""Connects each patch with every `dilation`-th of its `k * dilation` nearest patches inside its window.

    .. math:: \mathcal{N}(i) = \mathrm{kNN}_{k,d}\big(i,\ \{ j : W(j) = W(i) \}\big)

    with the window

    .. math:: W(i) = \Big( r_i \bmod t,\ c_i \bmod t,\
        \left\lfloor \frac{\lfloor r_i / t \rfloor - s}{w} \right\rfloor,
        \left\lfloor \frac{\lfloor c_i / t \rfloor - s}{w} \right\rfloor \Big),

    where r and c are the row and the column of a patch, w is `window`, s is `shift`, t is `stride`, and d is `dilation`
    (WiGNet, arXiv 2410.00807, section 3, which has t = 1 and d = 1). The search of
    `DilatedKNN` runs in non-overlapping windows of w x w patches, so its cost is linear in the number of patches
    instead of quadratic. Windows at the border are smaller. Each patch is among its own neighbors.

    Args:
        k: Number of neighbors of each patch, at least 1. If a window has fewer than `k * dilation` nodes, `shrink`
            reduces the dilation and then k.
        dilation: Spacing of the neighbors, at least 1.
        window: Side length w of a window in patches, a multiple of the pooling ratio of the sources. The default 8
            splits the 14 x 14 grid of the published models into 2 x 2 windows.
        shift: Row and column s, in patches, at which the first whole windows begin, from 0 to `window - 1`; it must be
            a multiple of the pooling ratio, too. Only a grid that is larger than a window on both sides is shifted, as
            published. Above a stride of 1, this is the grid of every `stride`-th row and column.
        stride: Spacing t of the patches of a window, at least 1. Above 1 the windows are dilated: the patches in every
            `stride`-th row and column form a grid, which is divided into windows, so a window spans `stride * window`
            patches (like the grid attention of MaxViT, arXiv 2204.01697). If the sources are pooled, the spacing is
            measured in pooled cells.
        adaptive: If true, a patch in a smaller window of n patches at the border has fewer neighbors, only
            :math:`\min(k, \max(3, \lfloor k n / w^2 \rfloor))`.
        position: `None`, `"official"` or `"grid"` (see `DilatedKNN`); positions count from the corner of the window.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest features first. With `edge_attr`, the result is the pair of `edge_index` and the
    attributes `(E, D)`.

    Raises:
        ValueError: If `window` or `stride` is below 1, if `shift` is out of range, if `window` or `shift` is not a
            multiple of the pooling ratio, if the nodes are a point set without a grid, or if a feature is not finite;
            also as for `DilatedKNN`.

    Example:
        >>> x = torch.rand(16, 8); layout = BatchLayout.from_sizes([(4, 4)])
        >>> WindowGraph(4, window=2)(x, layout, x, layout)[0, :4].sort().values.tolist()
        [0, 1, 4, 5]
    """

    def __init__(
        self,
        k: int,
        dilation: int = 1,
        *,
        window: int = 8,
        shift: int = 0,
        stride: int = 1,
        adaptive: bool = False,
        position: PositionMode | None = None,
        edge_attr: EdgeAttr | Sequence[EdgeAttr] = (),
    ) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}.")
        if not 0 <= shift < window:
            raise ValueError(f"shift must be from 0 to window - 1 = {window - 1}, got {shift}.")
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}.")
        self.window = window
        self.shift = shift
        self.stride = stride
        self.adaptive = adaptive
        self.edge_attr = checked_edge_attr(edge_attr)
        self.search = DilatedKNN(k, dilation, position=position)

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
        ratio = layout_src.ratio
        for name, value in (("window", self.window), ("shift", self.shift)):
            if value % ratio:
                raise ValueError(
                    f"{name}={value} must be a multiple of the pooling of the sources, {ratio}: "
                    "otherwise a pooled cell would lie in two windows."
                )
        sources, targets, degrees = [], [], []
        for group in _windows(layout, layout_src, self.window, self.shift, self.stride):
            search = self._search_of(group.size)
            found = self._found(search, x, layout, x_src, group, ratio)
            sources.append(group.nodes_src[found[0]])
            targets.append(group.nodes[found[1]])
            degrees.append(shrink(search.k, search.dilation, group.nodes_src.numel() // group.num_windows)[0])
        source, target = torch.cat(sources), torch.cat(targets)
        if is_exporting():
            return _by_target(source, target, targets, degrees, layout.num_nodes)
        by_target = target.argsort(stable=True)
        return torch.stack([source, target])[:, by_target]

    def _search_of(self, size: Size) -> DilatedKNN:
        """Return the search in windows of this size; with `adaptive`, smaller windows have fewer neighbors."""
        patches = size[0] * size[1]
        if not self.adaptive or patches >= self.window**2:
            return self.search
        search = copy(self.search)
        search.k = min(self.search.k, max(LEAST_NEIGHBORS, self.search.k * patches // self.window**2))
        return search

    def _found(
        self, search: DilatedKNN, x: Tensor, layout: BatchLayout, x_src: Tensor, group: _Windows, ratio: int
    ) -> Tensor:
        """Search for the edges between the nodes of windows of one size."""
        here = x[group.nodes]
        there = here if x_src is x else x_src[group.nodes_src]
        windows = BatchLayout.from_grid(group.size, group.num_windows, x.device)
        try:
            edges: Tensor = search(here, windows, there, windows.pooled(ratio))
            return edges
        except ValueError as error:  # its message numbers windows, but the user needs the number of the image
            bad = ~x.isfinite().all(1)
            if not bad.any():
                raise
            node = int(bad.nonzero()[0, 0])
            raise ValueError(
                f"Feature of node {node} (image {int(layout.batch[node])} of the batch) is not finite: "
                "look for NaN or infinite pixels in that image, or for weights that have diverged."
            ) from error

    def extra_repr(self) -> str:
        more = f", shift={self.shift}" * bool(self.shift) + f", stride={self.stride}" * (self.stride > 1)
        more += ", adaptive=True" * self.adaptive
        return f"window={self.window}{more}{attr_repr(self.edge_attr)}"


class _Windows(NamedTuple):
    """Windows of one size, of one or more images: their nodes, window after window, and their size in patches."""

    nodes: Tensor
    nodes_src: Tensor
    size: Size
    num_windows: int


def _windows(layout: BatchLayout, layout_src: BatchLayout, window: int, shift: int, stride: int) -> Iterator[_Windows]:
    """Yield the windows of all images, those of equal size together."""
    device, ratio = layout.device, layout_src.ratio
    grids: list[tuple[Size, Size, int, Tensor | list[int], Tensor | list[int]]]
    if layout.grid_size is not None and layout_src.grid_size is not None:  # the number of images stays dynamic
        (n,), (m,) = layout.distinct_num_nodes, layout_src.distinct_num_nodes
        images = torch.arange(layout.num_graphs, device=device)
        grids = [(layout.grid_size, layout_src.grid_size, layout.num_graphs, images * n, images * m)]
    else:
        grids = _different_grids(layout, layout_src)
    for size, size_src, images_here, first, first_src in grids:
        cells = torch.arange(size[0] * size[1], device=device).view(size)
        cells_src = cells if ratio == 1 else torch.arange(size_src[0] * size_src[1], device=device).view(size_src)
        groups: dict[Size, list[tuple[Tensor, Tensor]]] = {}
        for part, part_src in _parts(cells, cells_src, ratio, window, shift, stride):
            groups.setdefault((part.size(0), part.size(1)), []).append((part.flatten(), part_src.flatten()))
        for size_here, parts in groups.items():
            targets, sources = (torch.cat(one) for one in zip(*parts, strict=True))
            yield _Windows(
                _of_images(targets, first),
                _of_images(sources, first_src),
                size_here,
                images_here * len(parts),
            )


def _parts(
    cells: Tensor, cells_src: Tensor, ratio: int, window: int, shift: int, stride: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the targets (h, w) and the sources of each window of a grid."""
    for grid, grid_src in _strided(cells, cells_src, ratio, stride):
        size, size_src = (grid.size(0), grid.size(1)), (grid_src.size(0), grid_src.size(1))
        begin = shift if min(size) > window else 0
        rows, columns = (_cuts(side, window, begin) for side in size)
        rows_src, columns_src = (_cuts(side, window // ratio, begin // ratio) for side in size_src)
        for band, band_src in zip(grid.split(rows), grid_src.split(rows_src), strict=True):
            yield from zip(band.split(columns, 1), band_src.split(columns_src, 1), strict=True)


def _strided(cells: Tensor, cells_src: Tensor, ratio: int, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the targets, in whole pooled cells, and the sources of each grid of every `stride`-th pooled cell."""
    if stride == 1:
        yield cells, cells_src
        return
    rows, columns = ([i // ratio % stride for i in range(side)] for side in (cells.size(0), cells.size(1)))
    for first, second in product(range(min(stride, cells_src.size(0))), range(min(stride, cells_src.size(1)))):
        # PyTorch would copy a list to the device for every use, and some devices cannot be indexed by one
        at = (
            torch.tensor([i for i, phase in enumerate(side) if phase == wanted], device=cells.device)
            for side, wanted in ((rows, first), (columns, second))
        )
        yield cells.index_select(0, next(at)).index_select(1, next(at)), cells_src[first::stride, second::stride]


def _of_images(cells: Tensor, first: Tensor | list[int]) -> Tensor:
    """Return cells of one image as nodes of several images, given the first node of each."""
    if isinstance(first, Tensor):
        return (cells + first.unsqueeze(1)).flatten()  # (B, n) -> (B n,)
    return torch.cat([cells + node for node in first])


def _different_grids(
    layout: BatchLayout, layout_src: BatchLayout
) -> list[tuple[Size, Size, int, Tensor | list[int], Tensor | list[int]]]:
    """Return each pair of grids, the number of its images, and their first targets and sources."""
    assert layout.grid_sizes is not None and layout_src.grid_sizes is not None
    firsts: dict[tuple[Size, Size], tuple[list[int], list[int]]] = {}
    node, node_src = 0, 0
    counts = zip(layout.num_nodes_per_graph, layout_src.num_nodes_per_graph, strict=True)
    for sizes, (n, m) in zip(zip(layout.grid_sizes, layout_src.grid_sizes, strict=True), counts, strict=True):
        first, first_src = firsts.setdefault(sizes, ([], []))
        first.append(node)
        first_src.append(node_src)
        node, node_src = node + n, node_src + m
    return [(*sizes, len(first), first, first_src) for sizes, (first, first_src) in firsts.items()]


def _cuts(side: int, window: int, begin: int) -> list[int]:
    """Return the lengths of the pieces of a side: `begin`, then windows; the last one may be shorter."""
    pieces = [begin] if begin else []
    rest = side - begin
    return pieces + [min(window, rest - i) for i in range(0, rest, window)]


def _by_target(source: Tensor, target: Tensor, groups: list[Tensor], degrees: list[int], num_nodes: int) -> Tensor:
    """Sort edges by target; ONNX has no stable sort.

    Args:
        groups: The targets of each group; all edges of a target follow each other.
        degrees: The number of edges of each target of a group.
    """
    rank = torch.cat(
        [torch.arange(part.size(0), device=part.device) % k for part, k in zip(groups, degrees, strict=True)]
    )
    degree = target.new_zeros(num_nodes).scatter_add(0, target, torch.ones_like(target))
    place = (degree.cumsum(0) - degree)[target] + rank
    edges = torch.stack([source, target])
    return torch.empty_like(edges).scatter(1, place.expand(2, -1), edges)


@register_graph("window_dilated")
def _window_dilated(k: int, dilation: int) -> Builder:
    return WindowGraph(k, dilation, stride=2)
