"""Feature maps as PyG batches of patches, and back.

Shapes: B images, C channels, H x W cells, N nodes (all images one after another).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from vig_pyg.batch_order import order_of

#: One map for images of one size, or a list of maps `(C, H_i, W_i)` for images of several sizes.
Maps = Tensor | list[Tensor]
Size = tuple[int, int]
T = TypeVar("T")


class Layout:
    """Which node belongs to which image, and where it lies in it.

    What all images share is kept once, so that exporters can leave the number of images open.

    Args:
        pos: Node coordinates (row, column) in cells, `(N, 2)`, float.
        batch: Image index of each node, `(N,)`, ascending.
        ptr: First node of each image, `(B + 1,)`.
        counts: Nodes of each image as Python numbers, so that no step has to ask the device; one number for all images
            with `num_graphs`.
        sizes: Grid (H, W) of each image with its nodes in raster order, one for all with `num_graphs`; `None` for a
            free set of points.
        ratio: Patches a side that were averaged into one node.
        num_graphs: Number of images B; by default as many as `counts`.

    Example:
        >>> Layout.from_sizes([(2, 3)]).pos.tolist()[-1]
        [1.0, 2.0]
    """

    def __init__(
        self,
        pos: Tensor,
        batch: Tensor,
        ptr: Tensor,
        counts: Sequence[int],
        sizes: Sequence[Size] | None,
        ratio: int = 1,
        *,
        num_graphs: int | None = None,
    ) -> None:
        self.pos = pos
        self.batch = batch
        self.ptr = ptr
        self.ratio = ratio
        self.num_graphs: int = len(counts) if num_graphs is None else num_graphs
        self._counts = _shared(tuple(counts))
        self._sizes = None if sizes is None else _shared(tuple(sizes))
        #: Edges that Graphers hand on to each other during the pass of this layout (see `vig_pyg.graph.Reuse`).
        self.shared: dict[object, Tensor] = {}
        self._pooled: dict[int, Layout] = {}

    @property
    def num_nodes(self) -> int:
        return self.pos.size(0)

    @property
    def counts(self) -> tuple[int, ...]:
        """Nodes of each image."""
        return self._counts * self.num_graphs if self.regular else self._counts

    @property
    def sizes(self) -> tuple[Size, ...] | None:
        """Grid (H, W) of each image, or `None`."""
        return self._sizes * self.num_graphs if self._sizes is not None and self.grid is not None else self._sizes

    @property
    def different_counts(self) -> tuple[int, ...]:
        """Nodes of each image, or one number where all have equally many."""
        return self._counts

    @property
    def regular(self) -> bool:
        """Whether all images have equally many nodes."""
        return len(self._counts) == 1

    @property
    def grid(self) -> Size | None:
        """The grid that all images share, or `None`."""
        return self._sizes[0] if self._sizes is not None and len(self._sizes) == 1 else None

    def check_filled(self, source: Layout) -> None:
        """That every image has targets, and sources.

        Raises:
            ValueError: If one has none.
        """
        for layout in (self, source):
            if min(layout.different_counts, default=0) < 1:
                raise ValueError(f"Every image needs at least one node, got {layout.counts} nodes.")

    @classmethod
    def from_sizes(cls, sizes: Sequence[Size], device: torch.device | None = None) -> Layout:
        """The layout of one raster grid (H, W) for each image."""
        return cls._from_pos([_raster(size, device) for size in _shared(tuple(sizes))], tuple(sizes), len(sizes))

    @classmethod
    def from_grid(cls, size: Size, num_graphs: int, device: torch.device | None = None) -> Layout:
        """The layout of images that share one raster grid (H, W)."""
        return cls._from_pos([_raster(size, device)], (size,), num_graphs)

    @classmethod
    def from_batch(cls, batch: Batch) -> Layout:
        """The layout of a PyG batch with `pos` and `batch` or `ptr`, and `grid_size` where it has grids.

        Raises:
            ValueError: If something is missing, does not fit the rest, or the nodes are not sorted by image and on
                grids in raster order (`VisionGNN.forward_features` takes them in any order).
        """
        order = order_of(batch)
        if order.nodes is not None:
            raise ValueError(
                "The nodes of this batch are not sorted by image, or on grids not in raster order: sort x, pos and "
                "batch, or pass it to a model's forward_features, which does."
            )
        return cls(batch.pos, order.batch, order.ptr, order.counts, order.sizes)

    def again(self) -> Layout:
        """The same layout for another pass, which hands on edges of its own."""
        options = self._counts, self._sizes, self.ratio
        return Layout(self.pos, self.batch, self.ptr, *options, num_graphs=self.num_graphs)

    @property
    def stamp(self) -> tuple[int, ...]:
        """How often its tensors were written to, as far as torch counts that, and on a CPU what they hold."""
        tensors = self.pos, self.batch, self.ptr
        versions = tuple(-1 if tensor.is_inference() else tensor._version for tensor in tensors)
        if torch.compiler.is_compiling() or not all(type(part) is Tensor and part.is_cpu for part in tensors):
            return versions
        return versions + tuple(crc32(part.detach().numpy().tobytes()) for part in tensors)

    @classmethod
    def _from_pos(cls, pos: list[Tensor], sizes: tuple[Size, ...], num_graphs: int, ratio: int = 1) -> Layout:
        device, images = pos[0].device, torch.arange(num_graphs, device=pos[0].device)
        counts = tuple(h * w for h, w in sizes)
        if len(pos) == 1:  # one grid for all
            stacked = pos[0].repeat(num_graphs, 1)
            ptr = torch.arange(num_graphs + 1, device=device) * counts[0]
            batch = images.view(-1, 1).expand(-1, counts[0]).flatten()
        else:
            stacked = torch.cat(pos)
            lengths = torch.tensor(counts, device=device)
            ptr = F.pad(lengths.cumsum(0), (1, 0))
            batch = images.repeat_interleave(lengths)
        return cls(stacked, batch, ptr, counts, sizes, ratio, num_graphs=num_graphs)

    def pooled(self, ratio: int) -> Layout:
        """The layout after `pool_nodes`: positions are the centers of the pooled cells."""
        if ratio == 1:
            return self
        if ratio not in self._pooled:
            sizes = self._grids("pooled sources (reduce_ratio > 1)")
            maps = [_raster(size, self.pos.device).view(*size, 2).permute(2, 0, 1) for size in sizes]
            pos = [pool_map(m, ratio).flatten(1).t() for m in maps]  # (2, h, w) -> (h w, 2)
            pooled = tuple((-(-h // ratio), -(-w // ratio)) for h, w in sizes)
            self._pooled[ratio] = self._from_pos(pos, pooled, self.num_graphs, ratio)
        return self._pooled[ratio]

    def _grids(self, purpose: str) -> tuple[Size, ...]:
        """The grid of each image, one where all agree."""
        if self._sizes is None:
            raise ValueError(
                f"{purpose} need nodes on a grid, but this batch is a free set of points (it has no `grid_size`): "
                "use an isotropic ViG for such batches."
            )
        return self._sizes


def to_maps(x: Tensor, layout: Layout) -> Maps:
    """Nodes on grids as maps.

    Args:
        x: Node features `(N, C)` in raster order, image after image.
        layout: Where they lie; it must have `sizes`.

    Returns:
        `(B, C, H, W)` (a channels-last view, nothing is copied) where all images share one grid,
        else a list of `(C, H_i, W_i)`.

    Example:
        >>> to_maps(torch.rand(6, 4), Layout.from_sizes([(2, 3)])).shape
        torch.Size([1, 4, 2, 3])
    """
    sizes = layout._grids("feature maps")
    if layout.grid is not None:
        return x.view(-1, *layout.grid, x.size(1)).permute(0, 3, 1, 2)  # (N, C) -> (B, C, H, W)
    parts = x.split(list(layout.counts))
    return [part.view(h, w, -1).permute(2, 0, 1) for part, (h, w) in zip(parts, sizes, strict=True)]


def to_nodes(maps: Maps) -> tuple[Tensor, Layout]:
    """Maps as nodes `(N, C)` with their layout; the inverse of `to_maps`.

    Example:
        >>> x, layout = to_nodes(torch.rand(2, 4, 3, 3)); x.shape, layout.counts
        (torch.Size([18, 4]), (9, 9))
    """
    if isinstance(maps, Tensor):
        x = maps.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C, H, W) -> (N, C)
        return x, Layout.from_grid((maps.size(2), maps.size(3)), maps.size(0), x.device)
    x = torch.cat([m.permute(1, 2, 0).flatten(0, 1) for m in maps])
    return x, Layout.from_sizes([(m.size(1), m.size(2)) for m in maps], x.device)


def to_batch(x: Tensor, layout: Layout) -> Batch:
    """Nodes as a PyG batch that `to_data_list()` splits into one `Data` per image.

    Returns:
        Batch with `x (N, C)`, `pos (N, 2)`, `batch (N,)`, `ptr (B + 1,)` and, for grids, `grid_size`,
        a list of one (H, W) per image.

    Example:
        >>> to_batch(*to_nodes(torch.rand(2, 4, 3, 3))).to_data_list()[1]
        Data(x=[9, 4], pos=[9, 2], grid_size=[2])
    """
    data = Batch(_base_cls=Data, x=x, pos=layout.pos, batch=layout.batch, ptr=layout.ptr)
    count = torch.arange(layout.num_graphs + 1)
    offsets = F.pad(torch.tensor(layout.counts).cumsum(0), (1, 0))
    data._num_graphs = layout.num_graphs
    data._slice_dict = {"x": offsets, "pos": offsets}
    data._inc_dict = {"x": torch.zeros(layout.num_graphs), "pos": torch.zeros(layout.num_graphs)}
    if layout.sizes is not None:
        data.grid_size = list(layout.sizes)
        data._slice_dict["grid_size"], data._inc_dict["grid_size"] = count, None
    data._layout = layout, layout.stamp
    return data


def pool_map(x: Tensor, ratio: int) -> Tensor:
    """Average over windows of `ratio` x `ratio`; windows at the border take the cells there are."""
    return F.avg_pool2d(x, ratio, ceil_mode=True)


def pool_nodes(x: Tensor, layout: Layout, ratio: int) -> tuple[Tensor, Layout]:
    """Nodes of the grid averaged over `ratio` x `ratio` cells, `(N, C)` to `(M, C)`."""
    if ratio == 1:
        return x, layout
    layout_src = layout.pooled(ratio)
    pooled = map_images(lambda maps: pool_map(maps, ratio), to_maps(x, layout))
    if isinstance(pooled, Tensor):
        nodes = pooled.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C, h, w) -> (M, C)
    else:
        nodes = torch.cat([m.permute(1, 2, 0).flatten(0, 1) for m in pooled])
    return nodes, layout_src


def pool_graphs(x: Tensor, layout: Layout) -> Tensor:
    """Mean over the nodes of each image, `(N, C)` to `(B, C)`."""
    if layout.regular:
        return x.view(-1, layout.different_counts[0], x.size(-1)).mean(1)
    return torch.stack([part.mean(0) for part in x.split(list(layout.counts))])


def map_images(function: Callable[[Tensor], Tensor], maps: Maps) -> Maps:
    """Apply a function of `(B, C, H, W)` to maps; images of one size go together.

    In training, batch norm inside `function` takes its statistics over each size for itself.
    """
    if isinstance(maps, Tensor):
        return function(maps)
    groups: dict[Size, list[int]] = {}
    for i, m in enumerate(maps):
        groups.setdefault((m.size(1), m.size(2)), []).append(i)
    out: list[Tensor] = list(maps)
    for members in groups.values():
        for i, result in zip(members, function(torch.stack([maps[i] for i in members])), strict=True):
            out[i] = result
    return out


def _raster(size: Size, device: torch.device | None) -> Tensor:
    """Coordinates (row, column) of the cells of a grid in raster order, `(H W, 2)`."""
    rows, columns = (torch.arange(n, dtype=torch.float32, device=device) for n in size)
    return torch.cartesian_prod(rows, columns).view(-1, 2)


def _shared(values: tuple[T, ...]) -> tuple[T, ...]:
    """One value where all agree, else all of them."""
    return values[:1] if len(set(values)) == 1 else values
