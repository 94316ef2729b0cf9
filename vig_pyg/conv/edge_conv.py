"""Edge convolution (EdgeConv)."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import MaxAggregation
from torch_geometric.typing import Adj

from vig_pyg.conv._sparse import can_use_edge_norm, degrees, edge_norm, reduce_edges, uses_batch_statistics
from vig_pyg.conv._types import MessagePassingOptions, NodesOrOptPair, Sizes, Widths
from vig_pyg.conv.base import VisionConv
from vig_pyg.conv.lazy import lazy_mlp
from vig_pyg.conv.registry import register_conv
from vig_pyg.ops import readable_heads


@register_conv("edge")
class EdgeConv(VisionConv):
    r"""Applies an MLP to the concatenation of each node and its difference to each neighbor, and takes the maximum.

    .. math:: x_i' = \max_{j \in \mathcal{N}(i)} \mathrm{MLP}\big([x_i,\ x_j - x_i]\big)

    (Dynamic Graph CNN, arXiv 1801.07829). The MLP consists of a multi-head linear layer, a batch norm over edges, and
    GELU, as in the published code of Vision GNN (arXiv 2206.00272, table 5). On a CPU the result is computed from
    per-node sums and extrema, which is equal up to rounding (see `vig_pyg.conv._sparse`).

    *Differs* from `torch_geometric.nn.EdgeConv`, which receives its MLP as an argument and has no heads.

    Args:
        in_channels: Width C of the nodes, at least 1; -1 stands for the width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layer, a divisor of both widths; the published models use 4.
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
        >>> EdgeConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
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

    def forward(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        x_src, x_dst, edge_index = self.inputs(x, edge_index, size)
        return self.exchange(x_src, x_dst, edge_index, self.out_channels)

    def _lazy_parts(self, widths: tuple[int, int]) -> list[tuple[nn.Sequential, int]]:
        return [(self.mlp, 2 * widths[0])]

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        out: Tensor = self.mlp(torch.cat([x_i, x_j - x_i], dim=1))
        return out

    def has_sparse_form(self, num_edges: int) -> bool:
        linear, norm, act = self.mlp
        layers = readable_heads(linear) > 0 and type(act) is nn.GELU
        if not uses_batch_statistics(norm):  # this includes the `Identity` that replaces a folded batch norm
            return layers and isinstance(norm, nn.BatchNorm1d | nn.Identity)
        return layers and can_use_edge_norm(norm) and num_edges > 1

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        r"""Compute the convolution without materializing the messages.

        It uses :math:`W [x_i, x_j - x_i] + b = p_i + q_j` with :math:`p_i = W [x_i, -x_i] + b` and
        :math:`q_j = W [0, x_j]`.

        Args:
            adj_t: Sparse matrix `(N, M)` from `transposed_csr`.
            x: Source features `(M, C)` and target features `(N, C)`.

        Shapes: `(M, C)` and `(N, C)` to `(N, out_channels)`.
        """
        (x_src, x_dst), (linear, norm, act) = x, self.mlp
        p = linear(torch.cat([x_dst, -x_dst], dim=1))
        q = linear(torch.cat([torch.zeros_like(x_src), x_src], dim=1)) - linear.bias
        extremes = torch.cat([p + reduce_edges(adj_t, q, "amax"), p - reduce_edges(adj_t, -q, "amax")])
        out_degree, in_degree = degrees(adj_t, q.dtype)
        if norm.training:
            edges = adj_t.values().numel()
            mean_p, mean_q = (in_degree * p).sum(0) / edges, (out_degree * q).sum(0) / edges
            p, q = p - mean_p, q - mean_q
            both = (p * reduce_edges(adj_t, q, "sum")).sum(0)
            variance = ((in_degree * p.square()).sum(0) + 2 * both + (out_degree * q.square()).sum(0)) / edges
            extremes = edge_norm(norm, extremes, mean_p + mean_q, variance, edges)
        else:
            extremes = norm(extremes)
        high, low = act(extremes).chunk(2)
        return torch.maximum(high, low).masked_fill(in_degree.eq(0), 0)
