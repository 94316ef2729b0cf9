"""The graph of all pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import StaticGraph


class CompleteGraph(StaticGraph):
    r"""Connects each patch with all patches of its image, including itself, like self-attention.

    .. math:: \mathcal{N}(i) = \{ 1, \dots, m \}

    (the complete graph of graph theory). An image with n targets and m sources has n m edges, so the graph is meant
    for small grids.

    Args:
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, then by distance in the image, then by the index of the source.

    Raises:
        ValueError: If an image has no node.

    Example:
        >>> x = torch.rand(3, 8); layout = BatchLayout.from_sizes([(1, 3)])
        >>> CompleteGraph()(x, layout, x, layout)[0].tolist()
        [0, 1, 2, 1, 0, 2, 2, 1, 0]
    """

    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        # A matrix product would round equal distances differently, and the order of ties would change.
        distance = torch.cdist(target.pos, source.pos, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.argsort(dim=1, stable=True)
        index = torch.arange(target.num_nodes, device=nearest.device)
        return torch.stack([nearest.flatten(), index.repeat_interleave(source.num_nodes)])


@register_graph("complete")
def _complete(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the edges depend on the positions only)
    return CompleteGraph()
