"""Graph isomorphism network convolution."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import SumAggregation
from torch_geometric.typing import Adj

from vig_pyg.conv._sparse import reduce_edges
from vig_pyg.conv._types import MessagePassingOptions, NodesOrOptPair, Sizes, Widths
from vig_pyg.conv.lazy import lazy_mlp
from vig_pyg.conv.node_update import NodeUpdateConv
from vig_pyg.conv.registry import register_conv


@register_conv("gin")
class GINConv(NodeUpdateConv):
    r"""Adds the sum of the neighbors to each weighted node, and applies an MLP.

    .. math:: x_i' = \mathrm{MLP}\Big((1 + \epsilon)\,x_i + \sum_{j \in \mathcal{N}(i)} x_j\Big)

    (How Powerful are Graph Neural Networks?, arXiv 1810.00826), where :math:`\epsilon` is a trained scalar that starts
    at 0. The MLP consists of a multi-head linear layer, a batch norm, and GELU, as in the published code of Vision GNN
    (arXiv 2206.00272, table 5).

    *Differs* from `torch_geometric.nn.GINConv`, which receives its MLP as an argument and has no heads.

    Args:
        in_channels: Width C of the nodes, at least 1; -1 stands for the width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layer, a divisor of both widths; the published models use 4.
        **options: The options of PyG's `MessagePassing`: `aggr`, which replaces the sum over the neighbors,
            `aggr_kwargs`, `flow` and `node_dim`. With `flow="target_to_source"`, row 0 of the edges holds the nodes
            that receive; a pair is still (senders, receivers).

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))`, `edge_index (2, E)` to `(N, out_channels)`. As in PyG, targets
    may be `None`, which is equivalent to zeros, and edges may be an `EdgeIndex` or a transposed adjacency matrix.

    Raises:
        TypeError: If `x` is not floating-point, or `edge_index` is neither a dense tensor of int64 or int32 nor in
            another form that PyG accepts.
        ValueError: If the width of `x` is not `in_channels`, if `heads` does not divide the widths, if sources and
            targets differ in dtype or device, if the edges are on another device or for another number of nodes, or if
            the values of an adjacency matrix are not all 1.
        IndexError: If an index is out of range.

    Example:
        >>> GINConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    fused_aggregation = SumAggregation

    def __init__(
        self, in_channels: Widths, out_channels: int, *, heads: int = 4, **options: Unpack[MessagePassingOptions]
    ) -> None:
        options.setdefault("aggr", "add")
        super().__init__(in_channels, out_channels, heads=heads, **options)
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = lazy_mlp(max(self.widths), out_channels, heads=heads)  # one of the widths may be -1

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.eps)

    def combine(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        """Return the weighted node plus the sum of its neighbors, `(N, C)`.

        Args:
            x: Node features, or a pair of sources and targets.
            edge_index: Edges `(2, E)` with sources in row 0 and targets in row 1, or another form of PyG's `Adj`.
            size: Numbers of nodes (M, N), or `None`.
        """
        x_src, x_dst, edge_index = self.inputs(x, edge_index, size)
        total = self.exchange(x_src, x_dst, edge_index, x_dst.size(1))
        out: Tensor = (1 + self.eps) * x_dst + total
        return out

    def _lazy_parts(self, widths: tuple[int, int]) -> list[tuple[nn.Sequential, int]]:
        return [(self.mlp, widths[0])]

    def message(self, x_j: Tensor) -> Tensor:
        return x_j

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        return reduce_edges(adj_t, x[0], "sum")
