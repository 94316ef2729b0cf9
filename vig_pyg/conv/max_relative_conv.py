"""Max-Relative graph convolution."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

from vig_pyg.conv.base import NodesOrPair, NodeUpdateConv
from vig_pyg.conv.by_nodes import reduce_edges, takes_sparse, transposed_csr
from vig_pyg.kernels import TooManyNeighborsError, has_max_relative, max_relative
from vig_pyg.layers import multi_head_mlp


class MaxRelativeConv(NodeUpdateConv):
    r"""Each node and the largest difference to its neighbours.

    .. math:: x_i' = \mathrm{MLP}\big(\big[x_i,\ \max_{j \in \mathcal{N}(i)} (x_j - x_i)\big]\big)

    (DeepGCNs, arXiv 1904.03751; Vision GNN, arXiv 2206.00272, section 3.1), MLP: multi-head linear, BN, GELU. The two
    parts are interleaved channel by channel before the heads, as published. Because
    :math:`\max_j (x_j - x_i) = (\max_j x_j) - x_i`, exactly also in floating point, the aggregation on a CPU is one
    pass (a native kernel, or a sparse-dense product with reduction `amax`): no tensor of the size of the edges is made.

    Args:
        in_channels: Width C of the nodes.
        out_channels: Width of the result.
        heads: Heads of the linear map; the published models use 4.

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))`, `edge_index (2, E)` to `(N, out_channels)`. A node without
    neighbours gets 0 as its maximum.

    Raises:
        ValueError: If the width of `x` is not `in_channels` or `heads` does not divide the widths.

    Example:
        >>> MaxRelativeConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    def __init__(self, in_channels: int, out_channels: int, *, heads: int = 4) -> None:
        super().__init__(in_channels, out_channels, heads=heads, aggr="max")
        self.mlp = multi_head_mlp(2 * in_channels, out_channels, heads=heads)

    def combine(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        """Nodes and maxima, interleaved, `(N, 2 C)`."""
        x_src, x_dst = self.pair(x)
        plain = self.fuses() and edge_index.layout == torch.strided
        if plain and has_max_relative(x_src, x_dst):
            with suppress(TooManyNeighborsError):
                return max_relative(x_src, x_dst, edge_index, by_target=self.by_target)
        if plain and takes_sparse(x_src, edge_index):
            edge_index = transposed_csr(edge_index, x_src.size(0), x_dst.size(0), x_src.dtype)
        largest = self.propagate(edge_index, x=(x_src, x_dst))
        return torch.stack([x_dst, largest], dim=2).flatten(1)  # (N, C, 2) -> (N, 2 C)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_j - x_i

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        x_src, x_dst = x
        largest = reduce_edges(adj_t, x_src, "amax") - x_dst
        return largest.masked_fill(adj_t.crow_indices().diff().eq(0).unsqueeze(1), 0)
