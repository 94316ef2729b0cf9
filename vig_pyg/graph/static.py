"""Base class of graphs that depend on the patch grid only.

Shapes: n targets and m sources of one image, E edges, K offsets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from vig_pyg._kept import Kept, settle
from vig_pyg.data import BatchLayout
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, checked_edge_attr, with_edge_attr
from vig_pyg.ops import is_exporting, is_open, is_transformed


class StaticGraph(nn.Module, ABC):
    """Base class of graphs that depend on the patch grid only; the edges of the last grid are cached.

    A subclass implements `image_edges`. The cache key consists of the grids and of the text of `extra_repr`, so every
    option that changes the edges must appear in `extra_repr`.

    Args:
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target. With `edge_attr`, to a pair of `edge_index` and the attributes `(E, D)`.

    Raises:
        ValueError: If an image has no node, or the graph needs a grid and the nodes are a point set without one.

    Example:
        >>> class SelfLoops(StaticGraph):
        ...     def image_edges(self, target, source):
        ...         return torch.arange(target.num_nodes).repeat(2, 1)
        >>> x, layout = torch.rand(4, 8), BatchLayout.from_sizes([(1, 2), (1, 2)])
        >>> SelfLoops()(x, layout, x, layout).tolist()
        [[0, 1, 2, 3], [0, 1, 2, 3]]
    """

    def __init__(self, *, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()) -> None:
        super().__init__()
        self.edge_attr = checked_edge_attr(edge_attr)
        self._kept: Kept[Tensor] = Kept()

    @abstractmethod
    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        """Return the edges `(2, E)` of one image, sorted by target.

        Args:
            target: Layout of the targets of this image alone.
            source: Layout of the sources of this image alone.
        """

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        edges = self._kept_edges(layout, layout_src)
        return with_edge_attr(edges, self.edge_attr, x, layout, x_src, layout_src) if self.edge_attr else edges

    def _kept_edges(self, layout: BatchLayout, layout_src: BatchLayout) -> Tensor:
        layout.check_filled(layout_src)
        if not layout.has_grids:  # the positions of a point set are not part of the cache key
            return self._edges(layout, layout_src)
        traced = is_exporting() or is_transformed() or type(layout.pos) is not Tensor
        if traced:  # tensors of a tracer must not be cached
            return self._edges(layout, layout_src)
        key = layout.grid_sizes, layout_src.grid_sizes, layout_src.ratio, layout.pos.device, self.extra_repr()
        edges = self._kept.get(key, lambda: self._made(layout, layout_src))
        if not torch.compiler.is_compiling() and edges._version:  # a caller has modified the cached tensor
            self._kept.clear()
            edges = self._kept.get(key, lambda: self._made(layout, layout_src))
        return edges

    def _made(self, layout: BatchLayout, layout_src: BatchLayout) -> Tensor:
        with torch.inference_mode(False):  # edges that are built in inference mode must be usable in training
            edges = self._edges(layout, layout_src).clone()  # the version counter of a clone is 0
        if not torch.compiler.is_compiling():
            settle(edges)
        return edges

    def _edges(self, layout: BatchLayout, layout_src: BatchLayout) -> Tensor:
        if layout.grid_size is not None and layout_src.grid_size is not None:  # all images have the same edges
            one = self._edges_of_one(layout, layout_src)
            (n,), (m,) = layout.distinct_num_nodes, layout_src.distinct_num_nodes
            step = torch.tensor([[m], [n]], device=one.device)
            images = torch.arange(layout.num_graphs, device=one.device).view(1, -1, 1)
            return (one.unsqueeze(1) + images * step.unsqueeze(1)).flatten(1)  # (2, B, E) -> (2, B E)
        edges, first = [], torch.zeros(2, 1, dtype=torch.long, device=layout.pos.device)
        for i, (n, m) in enumerate(zip(layout.num_nodes_per_graph, layout_src.num_nodes_per_graph, strict=True)):
            edges.append(self.image_edges(one_image(layout, i), one_image(layout_src, i)) + first)
            first = first + torch.tensor([[m], [n]], device=first.device)
        return torch.cat(edges, dim=1)

    def _edges_of_one(self, layout: BatchLayout, layout_src: BatchLayout) -> Tensor:
        """Return the edges of the first image."""
        grid = layout.grid_size if is_exporting() and layout._unpooled and layout.ratio == 1 else None
        if grid is not None and not is_open(*grid):
            return self._constant(*grid, layout_src.ratio, str(layout.device))
        return self.image_edges(one_image(layout, 0), one_image(layout_src, 0))

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def _constant(self, height: int, width: int, ratio: int, device: str) -> Tensor:
        """Return the edges of one image as a constant of an exported program, which then knows their number.

        They are computed in a separate thread, so that the exporter's tracing does not apply.
        """

        def made() -> Tensor:
            layout = BatchLayout.from_grid((height, width), 1, torch.device(device))
            return self.image_edges(layout, layout.pooled(ratio))

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(made).result()


def one_image(layout: BatchLayout, i: int) -> BatchLayout:
    """Return the layout of image i alone.

    Example:
        >>> one_image(BatchLayout.from_sizes([(2, 2), (1, 3)]), 1).num_nodes_per_graph
        (3,)
    """
    if layout.grid_size is not None and layout._unpooled:  # the number of images may be open in an exported program
        return BatchLayout.from_grid(layout._unpooled[0], 1, layout.device).pooled(layout.ratio)
    first = sum(layout.num_nodes_per_graph[:i])
    pos = layout.pos[first : first + layout.num_nodes_per_graph[i]]
    batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
    ptr = torch.tensor([0, len(pos)], device=pos.device)
    sizes = None if layout.grid_sizes is None else (layout.grid_sizes[i],)
    return BatchLayout(pos, batch, ptr, (len(pos),), sizes, layout.ratio)


def nearest_first(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort offsets (row, column) by their Euclidean length, and offsets of equal length in raster order.

    Example:
        >>> nearest_first([(2, 0), (0, 1), (0, 0), (0, -1)])
        [(0, 0), (0, -1), (0, 1), (2, 0)]
    """
    return sorted(offsets, key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset))


def offset_edges(
    offsets: list[tuple[int, int]], target: BatchLayout, source: BatchLayout, *, wrap: bool = False
) -> Tensor:
    """Connect each target of one image with the cells at the given offsets that are inside the image.

    If the sources are pooled, offsets are in pooled cells, relative to the cell that contains the target.

    Args:
        offsets: Offsets (row, column) in the desired order of the neighbors.
        target: Layout of the targets.
        source: Layout of the sources.
        wrap: If true, cells beyond a border are those that come in at the opposite border, as on a torus. Offsets that
            reach the same cell then count once.

    Returns:
        `edge_index (2, E)`.

    Raises:
        ValueError: If the nodes have no grid, or the source grid is not the pooled target grid.

    Example:
        >>> layout = BatchLayout.from_sizes([(1, 3)])
        >>> offset_edges([(0, 0), (0, 1)], layout, layout).tolist()
        [[0, 1, 1, 2, 2], [0, 0, 1, 1, 2]]
    """
    if target.grid_sizes is None or source.grid_sizes is None:
        raise ValueError(
            "This graph needs nodes on a grid, but the batch is a point set (it has no `grid_size`): "
            'use graph="knn", "complete" or "random" for such batches.'
        )
    (height, width), (rows, columns) = target.grid_sizes[0], source.grid_sizes[0]
    ratio, device = source.ratio, target.pos.device
    if device.type == "meta":  # tensors without values have no edges to count
        device = torch.device("cpu")
    if (-(-height // ratio), -(-width // ratio)) != (rows, columns):
        raise ValueError(
            f"The source grid {(rows, columns)} is not the target grid {(height, width)} pooled by {ratio}."
        )
    home = torch.cartesian_prod(torch.arange(height, device=device), torch.arange(width, device=device)) // ratio
    if wrap:
        cells = list(dict.fromkeys((row % rows, column % columns) for row, column in offsets))
        places = home.view(-1, 1, 2) + torch.tensor(cells, device=device)  # (n, K, 2)
        places = places % torch.tensor([rows, columns], device=device)
        # (n,) -> (n K,); torch 2.11 cannot export `repeat_interleave`
        targets = torch.arange(height * width, device=device).view(-1, 1).expand(-1, len(cells)).flatten()
        return torch.stack([(places[..., 0] * columns + places[..., 1]).flatten(), targets]).to(target.pos.device)
    places = home.view(-1, 1, 2) + torch.tensor(offsets, device=device)  # (n, K, 2)
    inside = ((places >= 0) & (places < torch.tensor([rows, columns], device=device))).all(-1)
    sources = (places[..., 0] * columns + places[..., 1])[inside]
    return torch.stack([sources, inside.nonzero()[:, 0]]).to(target.pos.device)
