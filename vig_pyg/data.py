"""Conversion between feature maps, nodes, and PyG batches of patches.

Shapes: B images, C channels, H x W cells, N nodes (all images one after another).
"""

from __future__ import annotations

from collections.abc import Callable

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from vig_pyg.layout import BatchLayout, Size, pool_map
from vig_pyg.ops import average_pool

__all__ = [
    "BatchLayout",
    "Maps",
    "Size",
    "map_images",
    "pool_graphs",
    "pool_map",
    "pool_maps",
    "pool_nodes",
    "to_batch",
    "to_maps",
    "to_nodes",
]

#: One tensor `(B, C, H, W)` if all images have the same size, otherwise a list of tensors `(C, H_i, W_i)`.
Maps = Tensor | list[Tensor]


def to_maps(x: Tensor, layout: BatchLayout) -> Maps:
    """Reshape the nodes of grids into feature maps; the inverse of `to_nodes`.

    Args:
        x: Node features `(N, C)` in raster order, one image after another.
        layout: Layout of the nodes, which must form grids.

    Shapes: `(N, C)` to `(B, C, H, W)`, or to a list of `(C, H_i, W_i)`.

    Returns:
        If all images share one grid, a tensor `(B, C, H, W)`, which is a channels-last view of `x`. Otherwise a list
        of tensors `(C, H_i, W_i)`.

    Raises:
        ValueError: If the nodes are a point set without a grid.

    Example:
        >>> to_maps(torch.rand(6, 4), BatchLayout.from_sizes([(2, 3)])).shape
        torch.Size([1, 4, 2, 3])
    """
    sizes = layout._require_grids("Feature maps")
    if layout.grid_size is not None:
        return x.view(-1, *layout.grid_size, x.size(1)).permute(0, 3, 1, 2)  # (N, C) -> (B, C, H, W)
    parts = x.split(list(layout.num_nodes_per_graph))
    return [part.view(h, w, -1).permute(2, 0, 1) for part, (h, w) in zip(parts, sizes, strict=True)]


def to_nodes(maps: Maps) -> tuple[Tensor, BatchLayout]:
    """Flatten feature maps into nodes; the inverse of `to_maps`.

    Args:
        maps: A tensor `(B, C, H, W)`, or a list of tensors `(C, H_i, W_i)`.

    Shapes: `(B, C, H, W)`, or a list of `(C, H_i, W_i)`, to `(N, C)`.

    Returns:
        The node features `(N, C)` in raster order, one image after another, and their layout.

    Example:
        >>> x, layout = to_nodes(torch.rand(2, 4, 3, 3)); x.shape, layout.num_nodes_per_graph
        (torch.Size([18, 4]), (9, 9))
    """
    if isinstance(maps, Tensor):
        x = maps.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C, H, W) -> (N, C)
        return x, BatchLayout.from_grid((maps.size(2), maps.size(3)), maps.size(0), x.device)
    x = torch.cat([m.permute(1, 2, 0).flatten(0, 1) for m in maps])
    return x, BatchLayout.from_sizes([(m.size(1), m.size(2)) for m in maps], x.device)


def to_batch(x: Tensor, layout: BatchLayout) -> Batch:
    """Convert nodes into a PyG batch, which `to_data_list()` splits into one `Data` per image.

    Args:
        x: Node features `(N, C)`.
        layout: Layout of the nodes.

    Shapes: x `(N, C)`.

    Returns:
        A batch with `x (N, C)`, `pos (N, 2)`, `batch (N,)` and `ptr (B + 1,)`. If the images are grids, it also has
        `grid_size`, a list with one (H, W) per image.

    Example:
        >>> to_batch(*to_nodes(torch.rand(2, 4, 3, 3))).to_data_list()[1]
        Data(x=[9, 4], pos=[9, 2], grid_size=[2])
    """
    data = Batch(_base_cls=Data, x=x, pos=layout.pos, batch=layout.batch, ptr=layout.ptr)
    count = torch.arange(layout.num_graphs + 1, device="cpu")
    offsets = F.pad(torch.tensor(layout.num_nodes_per_graph, device="cpu").cumsum(0), (1, 0))
    data._num_graphs = layout.num_graphs
    data._slice_dict = {"x": offsets, "pos": offsets}
    data._inc_dict = {name: torch.zeros(layout.num_graphs, device="cpu") for name in ("x", "pos")}
    if layout.grid_sizes is not None:
        data.grid_size = list(layout.grid_sizes)
        data._slice_dict["grid_size"], data._inc_dict["grid_size"] = count, None
    data._layout = layout, layout.fingerprint
    return data


def pool_nodes(x: Tensor, layout: BatchLayout, ratio: int) -> tuple[Tensor, BatchLayout]:
    """Average the nodes of each grid over windows of `ratio` x `ratio` cells.

    Args:
        x: Node features `(N, C)` in raster order.
        layout: Layout of the nodes.
        ratio: Side length of the window in cells, at least 1; 1 returns the nodes unchanged.

    Shapes: `(N, C)` to `(M, C)`.

    Returns:
        The pooled nodes `(M, C)` and their layout.

    Raises:
        ValueError: If the nodes are a point set without a grid and `ratio` is above 1.

    Example:
        >>> x, layout = pool_nodes(*to_nodes(torch.rand(2, 4, 5, 6)), ratio=2); x.shape, layout.grid_size
        (torch.Size([18, 4]), (3, 3))
    """
    if ratio == 1:
        return x, layout
    layout_src = layout.pooled(ratio)
    pooled = map_images(lambda maps: average_pool(maps, ratio), to_maps(x, layout))
    if isinstance(pooled, Tensor):
        nodes = pooled.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C, h, w) -> (M, C)
    else:
        nodes = torch.cat([m.permute(1, 2, 0).flatten(0, 1) for m in pooled])
    return nodes, layout_src


def pool_graphs(x: Tensor, layout: BatchLayout) -> Tensor:
    """Average the nodes of each image.

    Args:
        x: Node features `(N, C)`.
        layout: Layout of the nodes.

    Shapes: `x (N, C)` to `(B, C)`.

    Example:
        >>> pool_graphs(*to_nodes(torch.rand(2, 4, 3, 3))).shape
        torch.Size([2, 4])
    """
    if layout.is_regular:
        return x.view(-1, layout.distinct_num_nodes[0], x.size(-1)).mean(1)
    return torch.stack([part.mean(0) for part in x.split(list(layout.num_nodes_per_graph))])


def pool_maps(maps: Maps) -> Tensor:
    """Average each feature map over its cells; `pool_graphs` computes the same result from nodes.

    Args:
        maps: A tensor `(B, C, H, W)`, or a list of tensors `(C, H_i, W_i)`.

    Shapes: maps `(B, C, H, W)`, or a list of `(C, H_i, W_i)`, to `(B, C)`.

    Example:
        >>> pool_maps(torch.rand(2, 4, 3, 3)).shape
        torch.Size([2, 4])
    """
    if isinstance(maps, Tensor):
        return maps.permute(0, 2, 3, 1).flatten(1, 2).mean(1)  # (B, C, H, W) -> (B, H * W, C) -> (B, C)
    return torch.stack([m.permute(1, 2, 0).flatten(0, 1).mean(0) for m in maps])


def map_images(function: Callable[[Tensor], Tensor], maps: Maps) -> Maps:
    """Apply a function to feature maps; images of the same size are stacked into one batch.

    If `function` contains a batch norm in training mode, its statistics are computed for each image size separately.

    Args:
        function: A function from `(B, C, H, W)` to `(B, C', H', W')`.
        maps: A tensor `(B, C, H, W)`, or a list of tensors `(C, H_i, W_i)`.

    Shapes: `(B, C, H, W)` to `(B, C', H', W')`; a list of `(C, H_i, W_i)` to a list of `(C', H_i', W_i')`.

    Returns:
        The results in the order and the form of `maps`.

    Example:
        >>> [m.shape[0] for m in map_images(lambda x: x[:, :1], [torch.rand(3, 4, 4), torch.rand(3, 2, 5)])]
        [1, 1]
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
