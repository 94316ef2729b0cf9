"""Attributes of edges: the rank, the distance in feature space, and the offset in the image of each neighbor.

Shapes: N targets, M sources, E edges, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.ops import autocast_device, is_exporting

EdgeAttr = Literal["rank", "distance", "offset", "unit_offset"]
#: The attributes that builders offer, and their columns.
EDGE_ATTRS: dict[EdgeAttr, int] = {"rank": 1, "distance": 1, "offset": 2, "unit_offset": 2}
#: The result of a builder: `edge_index (2, E)`, or a pair of `edge_index` and `edge_attr (E, D)`.
Edges = Tensor | tuple[Tensor, Tensor]


def checked_edge_attr(names: EdgeAttr | Sequence[EdgeAttr]) -> tuple[EdgeAttr, ...]:
    """Check the names of edge attributes, and return them as a tuple.

    Example:
        >>> checked_edge_attr("rank"), checked_edge_attr(["offset", "distance"])
        (('rank',), ('offset', 'distance'))
    """
    found: tuple[EdgeAttr, ...] = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in found if name not in EDGE_ATTRS]
    if unknown or len(set(found)) < len(found):
        raise ValueError(
            f"edge_attr must be one or more different names out of {', '.join(EDGE_ATTRS)}, got "
            f"{', '.join(map(repr, found))}."
        )
    return found


def with_edge_attr(
    edge_index: Tensor,
    names: Sequence[EdgeAttr],
    x: Tensor,
    layout: BatchLayout,
    x_src: Tensor,
    layout_src: BatchLayout,
) -> Edges:
    r"""Return edges together with the requested attributes; if no attribute is requested, return only the edges.

    - `"rank"`: 0 for the first (nearest) edge of a target, 1 for the second, and so on.
    - `"distance"`: :math:`\lVert \hat{x}_i - \hat{x}_j \rVert_2` of the L2-normalized features, by which `DilatedKNN`
      sorts if it uses no position codes. It is in [0, 2], and differentiable with respect to the features.
    - `"offset"`: rows and columns from the target to the source, in patches of this stage. The position of a pooled
      source is the center of its cell.
    - `"unit_offset"`: the offset divided by twice the height and width of the grid, plus 1/2. It is in [0, 1], as
      `torch_geometric.nn.SplineConv` requires.

    Args:
        edge_index: Edges `(2, E)`, sorted by target.
        names: The attributes, in the order of the columns.
        x: Features of the targets, `(N, C)`.
        layout: Layout of the targets.
        x_src: Features of the sources, `(M, C)`.
        layout_src: Layout of the sources.

    Shapes: edges `(2, E)` to edges `(2, E)` and attributes `(E, D)`.

    Returns:
        `edge_index`, or a pair of `edge_index` and `edge_attr (E, D)` in the dtype of `x`.

    Raises:
        ValueError: If `"unit_offset"` is requested, and the nodes are a point set without a grid.

    Example:
        >>> x, layout = torch.eye(2), BatchLayout.from_sizes([(1, 2)])
        >>> with_edge_attr(torch.tensor([[0, 1], [0, 0]]), ["rank", "offset"], x, layout, x, layout)[1].tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    """
    if not names:
        return edge_index
    source, target = edge_index
    columns = []
    for name in names:
        if name == "rank":
            columns.append(_ranks(target, layout.num_nodes).unsqueeze(1).to(x.dtype))
        elif name == "distance":
            columns.append(_distances(x, x_src, source, target).unsqueeze(1).to(x.dtype))
        else:
            offset = layout_src.pos[source] - layout.pos[target]
            columns.append((offset if name == "offset" else _to_unit(offset, layout, target)).to(x.dtype))
    return edge_index, torch.cat(columns, dim=1)


def split_edges(found: Edges) -> tuple[Tensor, Tensor | None]:
    """Split the result of a builder into edges and attributes; without attributes, the second part is `None`.

    Args:
        found: The result of a graph builder.

    Shapes: edges `(2, E)` and attributes `(E, D)`.

    Example:
        >>> split_edges(torch.zeros(2, 3))[1] is None
        True
    """
    return found if isinstance(found, tuple) and len(found) == 2 else (found, None)


def attr_repr(names: Sequence[EdgeAttr]) -> str:
    """Return the text of the option in the `repr` of a builder; it is empty if the option is off.

    Example:
        >>> attr_repr(())
        ''
    """
    return f", edge_attr={tuple(names)}" if names else ""


def _ranks(target: Tensor, num_nodes: int) -> Tensor:
    """Return the rank of each edge among the edges of its target, `(E,)`; targets are ascending."""
    target = target.contiguous()
    place = torch.arange(target.size(0), device=target.device)
    if is_exporting():  # ONNX has no binary search
        degree = target.new_zeros(num_nodes).scatter_add(0, target, torch.ones_like(target))
        return place - (degree.cumsum(0) - degree)[target]
    return place - torch.searchsorted(target, target)


def _distances(x: Tensor, x_src: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Distances between L2-normalized features, `(E,)`, in float32 or better."""
    with torch.autocast(autocast_device(x), enabled=False):
        dtype = torch.promote_types(x.dtype, torch.float32)
        unit = F.normalize(x.to(dtype), dim=1)
        unit_src = unit if x_src is x else F.normalize(x_src.to(dtype), dim=1)
        # At distance 0, the gradient of this norm is 0, while the gradient of a square root would not be finite.
        return torch.linalg.vector_norm(unit[target] - unit_src[source], dim=1)


def _to_unit(offset: Tensor, layout: BatchLayout, target: Tensor) -> Tensor:
    """Convert offsets `(E, 2)` to fractions of the grid, shifted into [0, 1]."""
    if not layout.has_grids:
        raise ValueError(
            "unit_offset is relative to the grid, but the batch is a point set (it has no `grid_size`): use "
            'edge_attr="offset".'
        )
    rows, columns = offset.unbind(1)
    if layout.grid_size is not None:
        height, width = layout.grid_size
        return torch.stack([rows / (2 * height), columns / (2 * width)], dim=1) + 0.5
    sizes = torch.tensor(layout.grid_sizes, device="cpu").to(offset)  # (B, 2)
    return offset / (2 * sizes[layout.batch[target]]) + 0.5
