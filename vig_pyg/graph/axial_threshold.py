"""The dynamic axial graph of GreedyViG."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vig_pyg.data import BatchLayout, Size
from vig_pyg.graph.axial import axial_offsets
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, attr_repr, checked_edge_attr, with_edge_attr
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import offset_edges, one_image


class ThresholdAxialGraph(nn.Module):
    r"""Connects each patch with itself and the similar patches among every `stride`-th patch of its row and column.

    .. math:: \mathcal{N}(i) = \{ i \} \cup \{ j \in \mathcal{A}(i) : \lVert x_j - x_i \rVert_1 < \mu - \sigma \}

    where :math:`\mathcal{A}` is `AxialGraph` on rings, and :math:`\mu` and :math:`\sigma` are the mean and the standard
    deviation of the distance between each patch and the patch that is half the height and half the width of the grid
    away (Dynamic Axial Graph Construction, GreedyViG, arXiv 2405.06849, algorithm 1). Each image has its own threshold.
    The published code measures the distance as the sum of absolute differences, whereas the paper defines the Euclidean
    distance.

    Args:
        stride: Spacing in patches, or in pooled cells if the sources are pooled; at least 1. The published values are
            8, 4, 2 and 1 from the first to the last stage.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest in the image first. With `edge_attr`, the result is the pair of `edge_index` and the
    attributes `(E, D)`.

    Raises:
        ValueError: If `stride` is below 1, an image has no node, or the nodes are a point set without a grid.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [9.0]]); layout = BatchLayout.from_sizes([(1, 4)])
        >>> ThresholdAxialGraph(stride=1)(x, layout, x, layout).tolist()
        [[0, 1, 1, 0, 2, 3, 3, 2], [0, 0, 1, 1, 2, 2, 3, 3]]
    """

    def __init__(self, *, stride: int = 2, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}.")
        self.stride = stride
        self.edge_attr = checked_edge_attr(edge_attr)

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        edges = self._edges(x, layout, x_src, layout_src)
        return with_edge_attr(edges, self.edge_attr, x, layout, x_src, layout_src) if self.edge_attr else edges

    @torch.no_grad()
    def _edges(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Tensor:
        layout.check_filled(layout_src)
        if layout.grid_size is not None and layout_src.grid_size is not None:
            return self._edges_of_grids(x, layout, x_src, layout_src)
        found, first, first_src = [], 0, 0
        for i, (n, m) in enumerate(zip(layout.num_nodes_per_graph, layout_src.num_nodes_per_graph, strict=True)):
            part = x[first : first + n]
            part_src = part if x_src is x else x_src[first_src : first_src + m]
            edges = self._edges_of_grids(part, one_image(layout, i), part_src, one_image(layout_src, i))
            found.append(edges + torch.tensor([[first_src], [first]], device=edges.device))
            first, first_src = first + n, first_src + m
        return torch.cat(found, dim=1)

    def _edges_of_grids(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Tensor:
        """Return the edges of images that share one grid."""
        size_src = (1, 1) if layout_src.grid_size is None else layout_src.grid_size
        one, one_src = one_image(layout, 0), one_image(layout_src, 0)
        images, n, m = layout.num_graphs, one.num_nodes, one_src.num_nodes
        offsets = axial_offsets(size_src, self.stride)
        candidates = offset_edges(offsets, one, one_src, wrap=True)[0].view(n, -1)  # (n, K), each patch itself first
        assert layout.grid_size is not None  # `offset_edges` raises an error for nodes without a grid
        # Sums of many differences in half precision would have two or three digits.
        dtype = torch.promote_types(x.dtype, torch.float32)
        maps = x.to(dtype).view(images, *layout.grid_size, -1)  # (N, C) -> (B, H, W, C)
        limit = _threshold(maps).unsqueeze(1)  # (B, 1)
        if x_src is x:
            distances = _ring_distances(maps, offsets[1:])
        else:
            targets, sources = maps.flatten(1, 2), x_src.to(dtype).view(images, m, -1)  # (B, n, C) and (B, m, C)
            distances = [_distance(targets, sources[:, index]) for index in candidates[:, 1:].unbind(1)]
        near = [distance < limit for distance in distances]
        near.insert(0, torch.ones(images, n, dtype=torch.bool, device=x.device))  # each patch itself
        image, target, place = _indices(torch.stack(near, dim=2)).unbind(1)  # (B, n, K) -> three of (E,)
        torch._check(target.size(0) > 0)  # an exporter does not know that each patch is its own neighbor
        return torch.stack([candidates[target, place] + image * m, target + image * n])

    def extra_repr(self) -> str:
        return f"stride={self.stride}{attr_repr(self.edge_attr)}"


def _indices(near: Tensor) -> Tensor:
    """Return the indices of the true entries; on the meta device, whose tensors have no values, as if all were true."""
    return near.new_empty(near.numel(), near.dim(), dtype=torch.long) if near.device.type == "meta" else near.nonzero()


def _distance(one: Tensor, two: Tensor) -> Tensor:
    """Return the sums of absolute differences over the channels, `(..., C)` to `(...)`."""
    return (one - two).abs_().sum(-1)


def _ring_distances(maps: Tensor, offsets: list[Size]) -> list[Tensor]:
    """Return the distances from each patch to the patches at the offsets of `axial_offsets` on its rings.

    The distance of a pair is the same for both patches, so the pairs that are i apart also serve the offset H - i. If
    the stride divides the grid, each distance is computed once and used twice.

    Args:
        maps: Features `(B, H, W, C)`.
        offsets: Offsets (row, column), one of which is 0 and the other one negative.

    Returns:
        One tensor `(B, H W)` for each offset.
    """
    known: dict[tuple[int, int], Tensor] = {}

    def apart(axis: int, step: int) -> Tensor:
        """Return the distances of the pairs that are `step` apart on an axis, without wrapping around."""
        if (axis, step) not in known:
            rest = maps.size(axis) - step
            known[axis, step] = _distance(maps.narrow(axis, step, rest), maps.narrow(axis, 0, rest))
        return known[axis, step]

    found = []
    for row, column in offsets:
        axis, step = (1, -row) if row else (2, -column)
        # The first patches of an axis find their neighbors behind the border.
        found.append(torch.cat([apart(axis, maps.size(axis) - step), apart(axis, step)], axis).flatten(1))
    return found


def _threshold(maps: Tensor) -> Tensor:
    """Return mean minus standard deviation of the distances half an image apart, `(B, H, W, C)` to `(B,)`."""
    (height, width), half = maps.shape[1:3], (-(-maps.size(1) // 2), -(-maps.size(2) // 2))
    if height % 2 or width % 2:
        distance = _distance(maps, maps.roll(half, dims=(1, 2))).flatten(1)  # (B, H W)
    else:  # each distance is that of two patches
        (upper, lower), (left, right) = maps.split(half[0], 1), (slice(None, half[1]), slice(half[1], None))
        pairs = _distance(upper[:, :, left], lower[:, :, right]), _distance(upper[:, :, right], lower[:, :, left])
        distance = torch.stack([*pairs, *pairs], 1).flatten(1)  # four of (B, H / 2, W / 2) -> (B, H W)
    if distance.size(1) == 1:  # one patch has no deviation and no neighbors
        return distance.new_zeros(distance.size(0))
    return distance.mean(1) - distance.std(1)


@register_graph("axial_threshold")
def _axial_threshold(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the number of neighbors depends on features)
    return ThresholdAxialGraph(stride=dilation)
