"""Max-Relative graph convolution."""

from __future__ import annotations

from contextlib import suppress
from typing import Unpack

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import MaxAggregation
from torch_geometric.typing import Adj

from vig_pyg.conv._sparse import reduce_edges
from vig_pyg.conv._types import MessagePassingOptions, NodesOrOptPair, Sizes, Widths
from vig_pyg.conv.lazy import lazy_mlp
from vig_pyg.conv.node_update import NodeUpdateConv
from vig_pyg.conv.registry import register_conv
from vig_pyg.ops import TooManyNeighborsError, has_max_relative, max_relative


@register_conv("mr")
class MaxRelativeConv(NodeUpdateConv):
    r"""Applies an MLP to each node, interleaved with the channel-wise maximum of the differences to its neighbors.

    .. math:: x_i' = \mathrm{MLP}\big(\big[x_i,\ \max_{j \in \mathcal{N}(i)} (x_j - x_i)\big]\big)

    (DeepGCNs, arXiv 1904.03751; Vision GNN, arXiv 2206.00272, section 3.1). The MLP consists of a multi-head linear
    layer, a batch norm, and GELU. Before the multi-head layer, the two parts are interleaved channel by channel, as in
    the published code. The identity :math:`\max_j (x_j - x_i) = (\max_j x_j) - x_i` is also exact in floating point. So
    on a CPU the aggregation is one pass (a native kernel, or a sparse product with reduction `amax`) without a tensor
    (E, C). If several neighbors attain the maximum, the first one in the order of the edges receives the gradient, on
    every device.

    Args:
        in_channels: Width C of the nodes, at least 1; -1 stands for the width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layer, a divisor of both widths; the published models use 4.
        **options: The options of PyG's `MessagePassing`: `aggr`, which replaces the maximum over the neighbors,
            `aggr_kwargs`, `flow` and `node_dim`. With `flow="target_to_source"`, row 0 of the edges holds the nodes
            that receive; a pair is still (senders, receivers).

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))`, `edge_index (2, E)` to `(N, out_channels)`. For a node without
    neighbors, the maximum is 0. As in PyG, targets may be `None`, which is equivalent to zeros, and edges may be an
    `EdgeIndex` or a transposed adjacency matrix.

    Raises:
        TypeError: If `x` is not floating-point, or `edge_index` is neither a dense tensor of int64 or int32 nor in
            another form that PyG accepts.
        ValueError: If the width of `x` is not `in_channels`, if `heads` does not divide the widths, if sources and
            targets differ in dtype or device, if the edges are on another device or for another number of nodes, or if
            the values of an adjacency matrix are not all 1.
        IndexError: If an index is out of range.

    Example:
        >>> MaxRelativeConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    fused_aggregation = MaxAggregation

    def __init__(
        self, in_channels: Widths, out_channels: int, *, heads: int = 4, **options: Unpack[MessagePassingOptions]
    ) -> None:
        options.setdefault("aggr", "max")
        super().__init__(in_channels, out_channels, heads=heads, **options)
        width = max(self.widths)  # one of them may be -1
        self.mlp = lazy_mlp(-1 if width < 0 else 2 * width, out_channels, heads=heads)

    def combine(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        """Return the nodes and the maxima of their differences, interleaved channel by channel, `(N, 2 C)`.

        Args:
            x: Node features, or a pair of sources and targets.
            edge_index: Edges `(2, E)` with sources in row 0 and targets in row 1, or another form of PyG's `Adj`.
            size: Numbers of nodes (M, N), or `None`.
        """
        x_src, x_dst, edge_index = self.inputs(x, edge_index, size)
        if self.skips_propagate() and has_max_relative(x_src, x_dst):
            with suppress(TooManyNeighborsError):
                return max_relative(x_src, x_dst, edge_index, by_target=self.by_target)
        largest = self.exchange(x_src, x_dst, edge_index, x_dst.size(1))
        return torch.stack([x_dst, largest], dim=2).flatten(1)  # (N, C, 2) -> (N, 2 C)

    def _lazy_parts(self, widths: tuple[int, int]) -> list[tuple[nn.Sequential, int]]:
        return [(self.mlp, 2 * widths[0])]

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_j - x_i

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        x_src, x_dst = x
        largest = reduce_edges(adj_t, x_src, "amax") - x_dst
        return largest.masked_fill(adj_t.crow_indices().diff().eq(0).unsqueeze(1), 0)
