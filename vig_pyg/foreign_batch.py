"""Conversion of PyG batches from users into layouts, and of results back into batches.

Shapes: B images, N nodes, C channels.
"""

from __future__ import annotations

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from vig_pyg.batch_order import order_of
from vig_pyg.data import BatchLayout, pool_graphs, to_batch


def sorted_layout(data: Data) -> tuple[BatchLayout, Tensor | None]:
    """Return the layout of a batch or of one image, sorted by image and on grids in raster order.

    Unmodified batches of `to_batch` are not checked again, which avoids synchronizing the device.

    Returns:
        The layout, which is new for each forward pass, and the indices `(N,)` that sort the nodes, or `None` if they
        are sorted.

    Example:
        >>> from vig_pyg.data import to_nodes
        >>> layout, index = sorted_layout(to_batch(*to_nodes(torch.rand(2, 4, 3, 3)))); layout.grid_size, index
        ((3, 3), None)
    """
    own = _own_layout(data)
    if own is not None:
        return own, None
    order = order_of(data)
    pos = data.pos if order.nodes is None else data.pos[order.nodes]
    return BatchLayout(pos, order.batch, order.ptr, order.num_nodes_per_graph, order.grid_sizes), order.nodes


def pool_batch(data: Data) -> Tensor:
    """Average the nodes of each image of a batch, `(B, C)`; their positions are ignored.

    Raises:
        ValueError: As `vig_pyg.batch_order.order_of`.

    Example:
        >>> from vig_pyg.data import to_nodes
        >>> pool_batch(to_batch(*to_nodes(torch.rand(2, 4, 3, 3)))).shape
        torch.Size([2, 4])
    """
    own = _own_layout(data)
    if own is not None:
        return pool_graphs(data.x, own)
    order = order_of(data, places=False)
    x = data.x if order.nodes is None else data.x[order.nodes]
    return pool_graphs(x, BatchLayout(x.detach(), order.batch, order.ptr, order.num_nodes_per_graph, None))


def to_batch_in_order(x: Tensor, layout: BatchLayout, index: Tensor) -> Batch:
    """Convert nodes to a PyG batch in their original order, which is the inverse of sorting by `index`.

    Example:
        >>> x, layout = torch.tensor([[1.0], [2.0]]), BatchLayout.from_sizes([(1, 2)])
        >>> to_batch_in_order(x, layout, torch.tensor([1, 0])).x.tolist()
        [[2.0], [1.0]]
    """
    back = index.argsort()
    pos, batch = layout.pos[back], layout.batch[back]
    if torch.equal(batch, layout.batch):
        data = to_batch(x[back], BatchLayout(pos, batch, layout.ptr, layout.num_nodes_per_graph, layout.grid_sizes))
    else:  # the nodes of different images are mixed, and PyG has no slices for such batches
        data = Batch(_base_cls=Data, x=x[back], pos=pos, batch=batch)
        data._num_graphs = layout.num_graphs
        if layout.grid_sizes is not None:
            data.grid_size = list(layout.grid_sizes)
    data._layout = None  # the nodes are not in the order of a layout
    return data


def check_patches(x: Tensor, width: int, weight: Tensor) -> None:
    """Check that patches can enter the blocks of a model.

    Raises:
        ValueError: If the width, dtype or device differs, or the patches are not a dense floating-point tensor.

    Example:
        >>> check_patches(torch.rand(3, 8), 8, torch.rand(5))
    """
    if x.dim() != 2 or x.size(1) != width:
        raise ValueError(
            f"Expected a batch of patches with x (N, {width}), got {tuple(x.shape)}: map them to the width "
            f"of the blocks first, with torch.nn.Linear({x.size(-1)}, {width}) for example."
        )
    same = x.dtype == weight.dtype or (x.is_floating_point() and torch.is_autocast_enabled(x.device.type))
    if not same or x.device != weight.device or x.layout != torch.strided:
        kind = f"{x.dtype} on {x.device}" if x.layout == torch.strided else f"a tensor of layout {x.layout}"
        raise ValueError(
            f"Expected a batch of patches with a dense x of {weight.dtype} on {weight.device}, like the model, got "
            f"{kind}: convert x, or the model with .to(...)."
        )


def _same_grids(given: object, layout: BatchLayout) -> bool:
    if layout.grid_sizes is None or not isinstance(given, list):
        return given is None and layout.grid_sizes is None
    return all(type(size) is tuple for size in given) and given == list(layout.grid_sizes)


def _own_layout(data: Data) -> BatchLayout | None:
    """The layout from which `to_batch` created a batch, or `None` if the batch was modified."""
    layout, stamp = getattr(data, "_layout", None) or (None, ())
    same = (
        layout is not None
        and data.get("pos") is layout.pos
        and data.get("batch") is layout.batch
        and data.get("ptr") is layout.ptr
        and isinstance(data.get("x"), Tensor)
        and data.x.shape[:1] == layout.pos.shape[:1]
        and _same_grids(data.get("grid_size"), layout)
        and stamp == layout.fingerprint
    )
    return layout.without_cache() if layout is not None and same else None
