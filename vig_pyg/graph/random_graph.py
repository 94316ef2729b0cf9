"""The random graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, attr_repr, checked_edge_attr, with_edge_attr
from vig_pyg.graph.registry import register_graph


class RandomGraph(nn.Module):
    r"""Connects each patch with k distinct random patches of its image, redrawn in every forward pass.

    .. math:: \mathcal{N}(i) \sim \mathrm{Uniform}\{ S \subseteq \{1, \dots, m\} : |S| = \min(k, m) \}

    for the m sources of an image (a random directed graph of fixed degree, a baseline for graphs that use the
    features). The edges are random in evaluation mode too, so the logits of an image vary between passes. They are
    drawn from torch's CPU generator, so `torch.manual_seed` gives the same graph on every device. Subsets are drawn by
    Floyd's method (Bentley and Floyd, CACM 30, 1987).

    Args:
        k: Number of neighbors of each patch, at least 1. In an image with fewer nodes, every node is a neighbor.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, in no order of distance.

    Raises:
        ValueError: If `k` is below 1, or an image has no node.

    Example:
        >>> x = torch.rand(18, 8); layout = BatchLayout.from_sizes([(3, 3), (3, 3)])
        >>> RandomGraph(2)(x, layout, x, layout).shape
        torch.Size([2, 36])
    """

    def __init__(self, k: int, *, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()) -> None:
        super().__init__()
        self.edge_attr = checked_edge_attr(edge_attr)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}.")
        self.k = k

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        edges = self._drawn(layout, layout_src)
        return with_edge_attr(edges, self.edge_attr, x, layout, x_src, layout_src) if self.edge_attr else edges

    def _drawn(self, layout: BatchLayout, layout_src: BatchLayout) -> Tensor:
        layout.check_filled(layout_src)
        regular = layout.is_regular and layout_src.is_regular
        # The CPU generator gives the same graph on every device, and Apple's GPUs have no float64.
        nodes, first = _one_number(layout, layout_src) if regular else _several_numbers(layout, layout_src)
        most = min(self.k, max(layout_src.distinct_num_nodes))
        degree = nodes.clamp_max(most)
        chosen = torch.full((layout.num_nodes, most), -1, device="cpu")
        for i in range(most):
            # Draws are from 0 to `last`, and a repeated draw becomes `last`.
            last = (nodes - degree + i).clamp_max(nodes - 1)
            draw = (torch.rand(layout.num_nodes, dtype=torch.float64, device="cpu") * (last + 1)).long()
            taken = (chosen[:, :i] == draw.unsqueeze(1)).any(1)
            chosen[:, i] = torch.where(taken, last, draw)
        source = chosen + first.unsqueeze(1)
        target = torch.arange(layout.num_nodes, device="cpu").unsqueeze(1).expand_as(source)
        edges = torch.stack([source, target])  # (2, N, most)
        if not regular:
            edges = edges[:, torch.arange(most, device="cpu") < degree.unsqueeze(1)]
        return edges.flatten(1).to(layout.device)

    def extra_repr(self) -> str:
        return f"k={self.k}{attr_repr(self.edge_attr)}"


def _one_number(layout: BatchLayout, layout_src: BatchLayout) -> tuple[Tensor, Tensor]:
    """Return the number of sources of every image, and the first source of each target; the batch size may be open."""
    (n,), (m,) = layout.distinct_num_nodes, layout_src.distinct_num_nodes
    first = torch.arange(layout.num_graphs, device="cpu") * m
    return torch.tensor(m, device="cpu"), first.view(-1, 1).expand(-1, n).flatten()  # (B,) -> (B n,)


def _several_numbers(layout: BatchLayout, layout_src: BatchLayout) -> tuple[Tensor, Tensor]:
    """Return the number of sources of each target's image, and the first of them."""
    counts, counts_src = (torch.tensor(part.num_nodes_per_graph, device="cpu") for part in (layout, layout_src))
    first = counts_src.cumsum(0) - counts_src
    return counts_src.repeat_interleave(counts), first.repeat_interleave(counts)


@register_graph("random")
def _random(k: int, dilation: int) -> Builder:  # noqa: ARG001  (random neighbors have no spacing)
    return RandomGraph(k)
