"""Which node of a batch belongs to which image, and where it lies in it.

Shapes: B images, H x W cells, N nodes (all images one after another).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TypeVar
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg.batch_order import order_of

Size = tuple[int, int]
T = TypeVar("T")


class Layout:
    """Which node belongs to which image, and where it lies in it.

    What all images share is kept once, so that exporters can leave the number of images open. The tensors of grids are
    made when they are read: a model in evaluation reads few of them, and on a GPU each costs several launches.

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
        self._pos: Tensor | None = pos
        self._batch: Tensor | None = batch
        self._ptr: Tensor | None = ptr
        self._set(counts, sizes, ratio, len(counts) if num_graphs is None else num_graphs, pos.device)

    def _set(
        self,
        counts: Sequence[int],
        sizes: Sequence[Size] | None,
        ratio: int,
        num_graphs: int,
        device: torch.device,
    ) -> None:
        self._unpooled: tuple[Size, ...] = ()
        self.device = device
        self.ratio = ratio
        self.num_graphs = num_graphs
        self._counts = _shared(tuple(counts))
        self._sizes = None if sizes is None else _shared(tuple(sizes))
        #: Edges that Graphers hand on to each other during the pass of this layout (see `vig_pyg.graph.Reuse`).
        self.shared: dict[object, Tensor] = {}
        self._pooled: dict[int, Layout] = {}

    @property
    def num_nodes(self) -> int:
        if self._pos is not None:
            return self._pos.size(0)
        return self._counts[0] * self.num_graphs if self.regular else sum(self._counts)

    @property
    def pos(self) -> Tensor:
        if self._pos is None:
            cells = [_cells(size, self.ratio, self.device) for size in self._unpooled]
            self._pos = cells[0].repeat(self.num_graphs, 1) if len(cells) == 1 else torch.cat(cells)
        return self._pos

    @property
    def batch(self) -> Tensor:
        if self._batch is None:
            images = torch.arange(self.num_graphs, device=self.device)
            if self.regular:
                self._batch = images.view(-1, 1).expand(-1, self._counts[0]).flatten()
            else:
                self._batch = images.repeat_interleave(torch.tensor(self._counts, device=self.device))
        return self._batch

    @property
    def ptr(self) -> Tensor:
        if self._ptr is None:
            if self.regular:
                self._ptr = torch.arange(self.num_graphs + 1, device=self.device) * self._counts[0]
            else:
                self._ptr = F.pad(torch.tensor(self._counts, device=self.device).cumsum(0), (1, 0))
        return self._ptr

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
        return cls._from_grids(_shared(tuple(sizes)), len(sizes), _device(device))

    @classmethod
    def from_grid(cls, size: Size, num_graphs: int, device: torch.device | None = None) -> Layout:
        """The layout of images that share one raster grid (H, W)."""
        return cls._from_grids((size,), num_graphs, _device(device))

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
        layout = copy(self)
        layout.shared, layout._pooled = {}, {}
        return layout

    @property
    def stamp(self) -> tuple[int, ...]:
        """How often its tensors were written to, as far as torch counts that, and on a CPU what they hold."""
        tensors = self.pos, self.batch, self.ptr
        versions = tuple(-1 if tensor.is_inference() else tensor._version for tensor in tensors)
        if torch.compiler.is_compiling() or not all(type(part) is Tensor and part.is_cpu for part in tensors):
            return versions
        return versions + tuple(crc32(part.detach().numpy().tobytes()) for part in tensors)

    @classmethod
    def _from_grids(cls, unpooled: tuple[Size, ...], num_graphs: int, device: torch.device, ratio: int = 1) -> Layout:
        """The layout of grids, one where all agree, whose cells are averaged over `ratio` x `ratio` of these."""
        layout = cls.__new__(cls)
        layout._pos = layout._batch = layout._ptr = None
        sizes = tuple((-(-h // ratio), -(-w // ratio)) for h, w in unpooled)
        layout._set([h * w for h, w in sizes], sizes, ratio, num_graphs, device)
        layout._unpooled = unpooled
        return layout

    def pooled(self, ratio: int) -> Layout:
        """The layout after `pool_nodes`: positions are the centers of the pooled cells."""
        if ratio == 1:
            return self
        if ratio not in self._pooled:
            sizes = self._grids("pooled sources (reduce_ratio > 1)")
            self._pooled[ratio] = self._from_grids(sizes, self.num_graphs, self.device, ratio)
        return self._pooled[ratio]

    def _grids(self, purpose: str) -> tuple[Size, ...]:
        """The grid of each image, one where all agree."""
        if self._sizes is None:
            raise ValueError(
                f"{purpose} need nodes on a grid, but this batch is a free set of points (it has no `grid_size`): "
                "use an isotropic ViG for such batches."
            )
        return self._sizes


def pool_map(x: Tensor, ratio: int) -> Tensor:
    """Average over windows of `ratio` x `ratio`; windows at the border take the cells there are."""
    return F.avg_pool2d(x, ratio, ceil_mode=True)


def _device(device: torch.device | None) -> torch.device:
    return torch.get_default_device() if device is None else torch.device(device)


def _cells(size: Size, ratio: int, device: torch.device) -> Tensor:
    """Centers of the cells of a grid that were averaged over `ratio` x `ratio` of them."""
    cells = _raster(size, device)
    if ratio == 1:
        return cells
    return pool_map(cells.view(*size, 2).permute(2, 0, 1), ratio).flatten(1).t()  # (2, h, w) -> (h w, 2)


def _raster(size: Size, device: torch.device | None) -> Tensor:
    """Coordinates (row, column) of the cells of a grid in raster order, `(H W, 2)`."""
    rows, columns = (torch.arange(n, dtype=torch.float32, device=device) for n in size)
    return torch.cartesian_prod(rows, columns).view(-1, 2)


def _shared(values: tuple[T, ...]) -> tuple[T, ...]:
    """One value where all agree, else all of them."""
    return values[:1] if len(set(values)) == 1 else values
