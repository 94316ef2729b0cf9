"""Feature maps as PyG batches of patches, and back.

Shapes: B images, C channels, H x W cells, N nodes (all images one after another).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from vig_pyg.layout import Layout, Size, pool_map
from vig_pyg.ops import average_pool

__all__ = [
    "Layout",
    "Maps",
    "Size",
    "map_images",
    "pool_graphs",
    "pool_map",
    "pool_nodes",
    "to_batch",
    "to_maps",
    "to_nodes",
]

#: One map for images of one size, or a list of maps `(C, H_i, W_i)` for images of several sizes.
Maps = Tensor | list[Tensor]


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
    count = torch.arange(layout.num_graphs + 1, device="cpu")
    offsets = F.pad(torch.tensor(layout.counts, device="cpu").cumsum(0), (1, 0))
    data._num_graphs = layout.num_graphs
    data._slice_dict = {"x": offsets, "pos": offsets}
    data._inc_dict = {name: torch.zeros(layout.num_graphs, device="cpu") for name in ("x", "pos")}
    if layout.sizes is not None:
        data.grid_size = list(layout.sizes)
        data._slice_dict["grid_size"], data._inc_dict["grid_size"] = count, None
    data._layout = layout, layout.stamp
    return data


def pool_nodes(x: Tensor, layout: Layout, ratio: int) -> tuple[Tensor, Layout]:
    """Nodes of the grid averaged over `ratio` x `ratio` cells, `(N, C)` to `(M, C)`."""
    if ratio == 1:
        return x, layout
    layout_src = layout.pooled(ratio)
    pooled = map_images(lambda maps: average_pool(maps, ratio), to_maps(x, layout))
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
