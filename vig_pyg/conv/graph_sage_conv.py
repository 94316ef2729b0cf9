"""GraphSAGE convolution with max pooling."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import MaxAggregation, MultiAggregation
from torch_geometric.typing import Adj

from vig_pyg.conv._sparse import can_use_edge_norm, degrees, edge_norm, reduce_edges, uses_batch_statistics
from vig_pyg.conv._types import MessagePassingOptions, NodesOrOptPair, Sizes, Widths
from vig_pyg.conv.lazy import lazy_mlp
from vig_pyg.conv.node_update import NodeUpdateConv
from vig_pyg.conv.registry import register_conv


@register_conv("sage")
class GraphSAGEConv(NodeUpdateConv):
    r"""Applies an MLP to each node concatenated with the maximum of its transformed neighbors.

    .. math:: x_i' = \mathrm{MLP}\big(\big[x_i,\ \max_{j \in \mathcal{N}(i)} \mathrm{MLP}_{src}(x_j)\big]\big)

    (Inductive Representation Learning on Large Graphs, arXiv 1706.02216, pooling aggregator). Each MLP consists of a
    multi-head linear layer, a batch norm, and GELU. The batch norm of the inner MLP computes its statistics over edges,
    as in the published code of Vision GNN (arXiv 2206.00272, table 5). On a CPU the inner MLP is computed once per node
    instead of once per edge (see `vig_pyg.conv._sparse`).

    *Differs* from `torch_geometric.nn.SAGEConv`, which by default averages the neighbors and adds the results of two
    linear layers.

    Args:
        in_channels: Width C of the nodes, at least 1, or a pair of widths of sources and targets; -1 stands for the
            width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layers, a divisor of both widths; the published models use 4.
        **options: The options of PyG's `MessagePassing`: `aggr`, which replaces the maximum over the neighbors,
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
        >>> GraphSAGEConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    two_widths = True
    fused_aggregation = MaxAggregation

    def __init__(
        self, in_channels: Widths, out_channels: int, *, heads: int = 4, **options: Unpack[MessagePassingOptions]
    ) -> None:
        options.setdefault("aggr", "max")
        super().__init__(in_channels, out_channels, heads=heads, **options)
        source = self.widths[0]
        self.mlp_src = lazy_mlp(source, source, heads=heads)
        self.mlp = lazy_mlp(-1 if -1 in self.widths else self._combined(self.widths), out_channels, heads=heads)

    def combine(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        """Return each node concatenated with the maximum of its transformed neighbors, `(N, 2 C)`.

        Args:
            x: Node features, or a pair of sources and targets.
            edge_index: Edges `(2, E)` with sources in row 0 and targets in row 1, or another form of PyG's `Adj`.
            size: Numbers of nodes (M, N), or `None`.
        """
        x_src, x_dst, edge_index = self.inputs(x, edge_index, size)
        largest = self.exchange(x_src, x_dst, edge_index, self._aggregated(x_src.size(1)))
        return torch.cat([x_dst, largest], dim=1)

    def _aggregated(self, channels: int) -> int:
        """Width of the aggregated messages: the sum over all aggregations."""
        aggr = self.aggr_module
        return aggr.get_out_channels(channels) if isinstance(aggr, MultiAggregation) else channels

    def _combined(self, widths: tuple[int, int]) -> int:
        return widths[1] + self._aggregated(widths[0])

    def _lazy_parts(self, widths: tuple[int, int]) -> list[tuple[nn.Sequential, int]]:
        return [(self.mlp_src, widths[0]), (self.mlp, self._combined(widths))]

    def message(self, x_j: Tensor) -> Tensor:
        out: Tensor = self.mlp_src(x_j)
        return out

    def has_sparse_form(self, num_edges: int) -> bool:
        norm = self.mlp_src[1]
        return can_use_edge_norm(norm) and num_edges > 1 if uses_batch_statistics(norm) else True

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        """Apply the inner MLP once per node, with batch statistics over edges, and take the maximum.

        Args:
            adj_t: Sparse matrix `(N, M)` from `transposed_csr`.
            x: Source features `(M, C)` and target features `(N, C)`.

        Shapes: `(M, C)` and `(N, C)` to `(N, C)`.
        """
        (linear, norm, act), x_src = self.mlp_src, x[0]
        if norm.training:
            h, edges = linear(x_src), adj_t.values().numel()
            leaving, _ = degrees(adj_t, h.dtype)
            mean = (leaving * h).sum(0) / edges
            variance = (leaving * (h - mean).square()).sum(0) / edges
            z = act(edge_norm(norm, h, mean, variance, edges))
        else:
            z = self.mlp_src(x_src)
        return reduce_edges(adj_t, z, "amax")
