"""The layout of a batch of nodes: the image index and the position of each node.

Shapes: B images, H x W cells, N nodes (all images one after another).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, TypeVar
from zlib import crc32

from vig_pyg.batch_order import order_of  # isort: skip  (it imports PyG without its warnings)

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch

Size = tuple[int, int]
T = TypeVar("T")


class BatchLayout:
    """The image index and the position of each node in a batch.

    If all images have the same number of nodes (or the same grid), this number (or grid) is stored once, so that
    exporters can leave the batch size dynamic. For grids, `pos`, `batch` and `ptr` are created on first access: a model
    in evaluation mode reads few of them, and on a GPU each of them costs several kernel launches.

    Args:
        pos: Node coordinates (row, column) in cells, `(N, 2)`, float.
        batch: Image index of each node, `(N,)`, ascending.
        ptr: Index of the first node of each image, followed by N, `(B + 1,)`.
        num_nodes_per_graph: Number of nodes of each image. These are Python integers, so that reading them does not
            synchronize the device. If `num_graphs` is given, a single number stands for all images.
        grid_sizes: Grid (H, W) of each image, whose nodes are in raster order. If `num_graphs` is given, a single grid
            stands for all images. `None` means a point set without a grid.
        ratio: Side length, in patches, of the window that was averaged into each node; 1 without pooling.
        num_graphs: Number of images B; by default the length of `num_nodes_per_graph`.

    Shapes: pos `(N, 2)`, batch `(N,)` and ptr `(B + 1,)`.

    Example:
        >>> BatchLayout.from_sizes([(2, 3)]).pos.tolist()[-1]
        [1.0, 2.0]
    """

    def __init__(
        self,
        pos: Tensor,
        batch: Tensor,
        ptr: Tensor,
        num_nodes_per_graph: Sequence[int],
        grid_sizes: Sequence[Size] | None,
        ratio: int = 1,
        *,
        num_graphs: int | None = None,
    ) -> None:
        self._pos: Tensor | None = pos
        self._batch: Tensor | None = batch
        self._ptr: Tensor | None = ptr
        num_graphs = len(num_nodes_per_graph) if num_graphs is None else num_graphs
        self._set(num_nodes_per_graph, grid_sizes, ratio, num_graphs, pos.device)

    def _set(
        self, nodes: Sequence[int], grids: Sequence[Size] | None, ratio: int, num_graphs: int, device: torch.device
    ) -> None:
        self._unpooled: tuple[Size, ...] = ()
        self.device = device
        self.ratio = ratio
        self.num_graphs = num_graphs
        self._num_nodes = _merge_equal(tuple(nodes))
        self._grid_sizes = None if grids is None else _merge_equal(tuple(grids))
        #: What Graphers share during the forward pass of this layout (see `vig_pyg.graph.Reuse` and `Lookahead`).
        self.shared_edges: dict[object, Any] = {}
        self._pooled: dict[int, BatchLayout] = {}

    @property
    def num_nodes(self) -> int:
        """Number of nodes N of the whole batch."""
        if self._pos is not None:
            return self._pos.size(0)
        return self._num_nodes[0] * self.num_graphs if self.is_regular else sum(self._num_nodes)

    @property
    def pos(self) -> Tensor:
        """Node coordinates (row, column) in cells, `(N, 2)`."""
        if self._pos is None:
            cells = [_cells(size, self.ratio, self.device) for size in self._unpooled]
            self._pos = cells[0].repeat(self.num_graphs, 1) if len(cells) == 1 else torch.cat(cells)
        return self._pos

    @property
    def batch(self) -> Tensor:
        """Image index of each node, `(N,)`."""
        if self._batch is None:
            if self.is_regular:
                images = torch.arange(self.num_graphs, device=self.device)
                self._batch = images.view(-1, 1).expand(-1, self._num_nodes[0]).flatten()
            else:
                lengths = torch.tensor(self._num_nodes, device="cpu")  # `repeat_interleave` would synchronize a GPU
                self._batch = torch.arange(self.num_graphs, device="cpu").repeat_interleave(lengths).to(self.device)
        return self._batch

    @property
    def ptr(self) -> Tensor:
        """Index of the first node of each image, followed by N, `(B + 1,)`."""
        if self._ptr is None:
            if self.is_regular:
                self._ptr = torch.arange(self.num_graphs + 1, device=self.device) * self._num_nodes[0]
            else:
                self._ptr = F.pad(torch.tensor(self._num_nodes, device=self.device).cumsum(0), (1, 0))
        return self._ptr

    @property
    def num_nodes_per_graph(self) -> tuple[int, ...]:
        """Number of nodes of each image, a tuple of length B."""
        return self._num_nodes * self.num_graphs if self.is_regular else self._num_nodes

    @property
    def grid_sizes(self) -> tuple[Size, ...] | None:
        """Grid (H, W) of each image, a tuple of length B, or `None` for a point set without a grid."""
        grids = self._grid_sizes
        return grids if grids is None or len(grids) > 1 else grids * self.num_graphs

    @property
    def has_grids(self) -> bool:
        """True if the layout has `grid_sizes`; reading them would fix the number of images in an exported program."""
        return self._grid_sizes is not None

    @property
    def distinct_num_nodes(self) -> tuple[int, ...]:
        """Number of nodes of each image; a tuple of length 1 if all images have the same number."""
        return self._num_nodes

    @property
    def is_regular(self) -> bool:
        """True if all images have the same number of nodes."""
        return len(self._num_nodes) == 1

    @property
    def grid_size(self) -> Size | None:
        """The grid (H, W) of all images if it is the same, otherwise `None`."""
        return self._grid_sizes[0] if self._grid_sizes is not None and len(self._grid_sizes) == 1 else None

    def check_filled(self, source: BatchLayout) -> None:
        """Check that every image has at least one target and one source node.

        Args:
            source: Layout of the source nodes; `self` is the layout of the targets.

        Raises:
            ValueError: If an image has no target or no source.
        """
        for layout in (self, source):
            counts = layout.distinct_num_nodes
            if not counts or min(counts) < 1:  # torch 2.11 cannot compile the option `default` of `min`
                raise ValueError(f"Every image needs at least one node, got {layout.num_nodes_per_graph} nodes.")

    @classmethod
    def from_sizes(cls, grid_sizes: Sequence[Size], device: torch.device | None = None) -> BatchLayout:
        """Create the layout of images that each have their own raster grid.

        Args:
            grid_sizes: Grid (H, W) of each image, in cells.
            device: Device of the tensors; by default torch's default device.

        Example:
            >>> BatchLayout.from_sizes([(2, 2), (1, 3)]).batch.tolist()
            [0, 0, 0, 0, 1, 1, 1]
        """
        return cls._from_grids(_merge_equal(tuple(grid_sizes)), len(grid_sizes), _device(device))

    @classmethod
    def from_grid(cls, size: Size, num_graphs: int, device: torch.device | None = None) -> BatchLayout:
        """Create the layout of images that share one raster grid.

        Args:
            size: Grid (H, W) of every image, in cells.
            num_graphs: Number of images B.
            device: Device of the tensors; by default torch's default device.
        """
        return cls._from_grids((size,), num_graphs, _device(device))

    @classmethod
    def from_batch(cls, batch: Batch) -> BatchLayout:
        """Create the layout of a PyG batch.

        Args:
            batch: A batch with `x`, `pos`, and `batch` or `ptr`. If its images are grids, `grid_size` has one (H, W)
                for each image.

        Raises:
            ValueError: If an attribute is missing or inconsistent with the others, if the nodes are not sorted by
                image, or if the nodes of a grid are not in raster order. (`VisionGNN.forward_features` accepts nodes
                in any order.)

        Example:
            >>> from torch_geometric.data import Data
            >>> data = Data(x=torch.rand(2, 4), pos=torch.tensor([[0.0, 0.0], [0.0, 1.0]]), grid_size=(1, 2))
            >>> BatchLayout.from_batch(Batch.from_data_list([data, data])).num_nodes_per_graph
            (2, 2)
        """
        order = order_of(batch)
        if order.nodes is not None:
            raise ValueError(
                "The nodes of this batch are not sorted by image, or not in raster order on a grid: sort x, pos and "
                "batch, or pass the batch to forward_features of a model, which sorts it."
            )
        return cls(batch.pos, order.batch, order.ptr, order.num_nodes_per_graph, order.grid_sizes)

    def without_cache(self) -> BatchLayout:
        """Return a copy for another forward pass, without the edges and pooled layouts that this pass has stored."""
        layout = copy(self)
        layout.shared_edges, layout._pooled = {}, {}
        return layout

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """Version counters of the tensors and, on a CPU, checksums, because NumPy and `.data` change no counter."""
        tensors = self.pos, self.batch, self.ptr
        versions = tuple(-1 if tensor.is_inference() else tensor._version for tensor in tensors)
        if torch.compiler.is_compiling() or not all(type(part) is Tensor and part.is_cpu for part in tensors):
            return versions
        return versions + tuple(crc32(part.detach().numpy().tobytes()) for part in tensors)

    @classmethod
    def _from_grids(cls, grids: tuple[Size, ...], num_graphs: int, device: torch.device, ratio: int = 1) -> BatchLayout:
        """Create the layout of grids (one entry if all are equal), pooled over windows of `ratio` x `ratio` cells."""
        layout = cls.__new__(cls)
        layout._pos = layout._batch = layout._ptr = None
        # The form that compilers simplify best.
        pooled = tuple(((h - 1) // ratio + 1, (w - 1) // ratio + 1) for h, w in grids)
        layout._set([h * w for h, w in pooled], pooled, ratio, num_graphs, device)
        layout._unpooled = grids
        return layout

    def pooled(self, ratio: int) -> BatchLayout:
        """Return the layout after `pool_nodes`; its positions are the centers of the pooled cells.

        Args:
            ratio: Side length of the pooling window in cells, at least 1; 1 returns the layout itself.

        Raises:
            ValueError: If the nodes are a point set without a grid and `ratio` is above 1.
        """
        if ratio == 1:
            return self
        if ratio not in self._pooled:
            grid_sizes = self._require_grids("Pooled sources (reduce_ratio > 1)")
            self._pooled[ratio] = self._from_grids(grid_sizes, self.num_graphs, self.device, ratio)
        return self._pooled[ratio]

    def _require_grids(self, purpose: str) -> tuple[Size, ...]:
        """The grid of each image (a tuple of length 1 if all are equal), or an error that names the purpose."""
        if self._grid_sizes is None:
            raise ValueError(
                f"{purpose} need nodes on a grid, but this batch is a point set (it has no `grid_size`): "
                "use an isotropic ViG for such batches."
            )
        return self._grid_sizes


def pool_map(x: Tensor, ratio: int) -> Tensor:
    """Average a feature map over windows of `ratio` x `ratio` cells; at the border only the cells inside count.

    Args:
        x: Feature map `(B, C, H, W)`.
        ratio: Side length of the window in cells, at least 1.

    Shapes: `(B, C, H, W)` to `(B, C, ⌈H / ratio⌉, ⌈W / ratio⌉)`.

    Example:
        >>> pool_map(torch.rand(1, 4, 5, 6), 2).shape
        torch.Size([1, 4, 3, 3])
    """
    return F.avg_pool2d(x, ratio, ceil_mode=True)


def _device(device: torch.device | None) -> torch.device:
    return torch.get_default_device() if device is None else torch.device(device)


def _cells(size: Size, ratio: int, device: torch.device) -> Tensor:
    """Centers (row, column) of the pooled cells of a grid, `(n, 2)`."""
    rows, columns = (_centers(n, ratio, device) for n in size)
    return torch.cartesian_prod(rows, columns).view(-1, 2)


def _centers(cells: int, ratio: int, device: torch.device) -> Tensor:
    """Centers of the pooled cells of one axis; the last one may average fewer cells."""
    first = torch.arange((cells - 1) // ratio + 1, dtype=torch.float32, device=device) * ratio
    return first if ratio == 1 else (first + (first + ratio).clamp(max=cells) - 1) / 2


def _merge_equal(values: tuple[T, ...]) -> tuple[T, ...]:
    """A tuple of length 1 if all values are equal, otherwise all values."""
    return values[:1] if all(value == values[0] for value in values[1:]) else values  # symbolic sizes have no hash
