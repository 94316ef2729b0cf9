"""EdgeConv."""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.conv.base import NodesOrPair, VisionConv
from vig_pyg.layers import multi_head_mlp


class EdgeConv(VisionConv):
    r"""The largest message over the edges, each from a node and its difference to a neighbour.

    .. math:: x_i' = \max_{j \in \mathcal{N}(i)} \mathrm{MLP}\big([x_i,\ x_j - x_i]\big)

    (Dynamic Graph CNN, arXiv 1801.07829), MLP: multi-head linear, BN over edges, GELU, as in the published code of
    Vision GNN (arXiv 2206.00272, table 5).

    *Differs* from `torch_geometric.nn.EdgeConv`: the heads, and no MLP to pass in.

    Args:
        in_channels: Width C of the nodes.
        out_channels: Width of the result.
        heads: Heads of the linear map; the published models use 4.

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))`, `edge_index (2, E)` to `(N, out_channels)`.

    Raises:
        ValueError: If the width of `x` is not `in_channels` or `heads` does not divide the widths.

    Example:
        >>> EdgeConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    def __init__(self, in_channels: int, out_channels: int, *, heads: int = 4) -> None:
        super().__init__(in_channels, out_channels, heads=heads, aggr="max")
        self.mlp = multi_head_mlp(2 * in_channels, out_channels, heads=heads)

    def forward(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        out: Tensor = self.propagate(edge_index, x=self.pair(x))
        return out

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        out: Tensor = self.mlp(torch.cat([x_i, x_j - x_i], dim=1))
        return out
