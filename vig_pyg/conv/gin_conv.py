"""Graph isomorphism network convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vig_pyg.conv._sparse import reduce_edges, takes_sparse
from vig_pyg.conv.base import NodesOrPair, NodeUpdateConv
from vig_pyg.conv.registry import register_conv
from vig_pyg.layers import multi_head_mlp


@register_conv("gin")
class GINConv(NodeUpdateConv):
    r"""Adds the sum of the neighbors to each weighted node, and applies an MLP.

    .. math:: x_i' = \mathrm{MLP}\Big((1 + \epsilon)\,x_i + \sum_{j \in \mathcal{N}(i)} x_j\Big)

    (How Powerful are Graph Neural Networks?, arXiv 1810.00826), where :math:`\epsilon` is a trained scalar that starts
    at 0. The MLP consists of a multi-head linear layer, a batch norm, and GELU, as in the published code of Vision GNN
    (arXiv 2206.00272, table 5).

    *Differs* from `torch_geometric.nn.GINConv`, which receives its MLP as an argument and has no heads.

    Args:
        in_channels: Width C of the nodes, at least 1.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layer, a divisor of both widths; the published models use 4.

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))`, `edge_index (2, E)` to `(N, out_channels)`.

    Raises:
        TypeError: If `x` is not floating-point, or `edge_index` is not a dense tensor of int64 or int32.
        ValueError: If the width of `x` is not `in_channels`, if `heads` does not divide the widths, or if sources,
            targets and edges differ in dtype or device.
        IndexError: If an index is out of range.

    Example:
        >>> GINConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    def __init__(self, in_channels: int, out_channels: int, *, heads: int = 4) -> None:
        super().__init__(in_channels, out_channels, heads=heads, aggr="add")
        self.eps = nn.Parameter(torch.zeros(1))
        self.mlp = multi_head_mlp(in_channels, out_channels, heads=heads)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.eps)

    def combine(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        """Return the weighted node plus the sum of its neighbors, `(N, C)`."""
        x_src, x_dst = self.pair(x)
        edge_index = self.edges(edge_index, x_dst)
        sparse = self.fuses() and takes_sparse(x_src, edge_index)
        edge_index = self.graph(edge_index, x_src, x_dst, sparse=sparse)
        out: Tensor = (1 + self.eps) * x_dst + self.propagate(edge_index, x=(x_src, x_dst))
        return out

    def message(self, x_j: Tensor) -> Tensor:
        return x_j

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        return reduce_edges(adj_t, x[0], "sum")
