"""Attention of each node over its neighbors."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch_geometric.typing import Adj
from torch_geometric.utils import softmax

from vig_pyg.conv._types import MessagePassingOptions, NodesOrOptPair, Sizes, Widths
from vig_pyg.conv.lazy import LazyMultiHeadLinear, lazy_mlp
from vig_pyg.conv.node_update import NodeUpdateConv
from vig_pyg.conv.registry import register_conv
from vig_pyg.layers import linear_layer


@register_conv("attention")
class NeighborAttentionConv(NodeUpdateConv):
    r"""Applies an MLP to each node concatenated with the values of its neighbors, weighted by attention.

    .. math:: x_i' = \mathrm{MLP}\Big(\Big[x_i,\ \Vert_{h=1}^{H} \sum_{j \in \mathcal{N}(i)} \alpha^h_{ij}\,
        W^h_v x_j\Big]\Big), \quad \alpha^h_{ij} = \mathrm{softmax}_{j \in \mathcal{N}(i)}
        \frac{(W^h_q x_i)^\top W^h_k x_j}{\sqrt{C / H}}

    (scaled dot-product attention, arXiv 1706.03762, section 3.2, restricted to the neighbors of a node as in
    Masked Label Prediction, arXiv 2009.03509, section 3.1). On `"complete"` graphs it is full self-attention.

    Args:
        in_channels: Width C of the nodes, at least 1; -1 stands for the width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number H of attention heads and of heads of the MLP, a divisor of C and of `out_channels`; 4 by default,
            like the other operators.
        **options: The options of PyG's `MessagePassing`: `aggr`, which replaces the sum over the neighbors,
            `aggr_kwargs`, `flow` and `node_dim`.

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))`, `edge_index (2, E)` to `(N, out_channels)`. A node without
    neighbors receives zeros.

    Raises:
        TypeError: As for `MaxRelativeConv`.
        ValueError: As for `MaxRelativeConv`.
        IndexError: As for `MaxRelativeConv`.

    Example:
        >>> NeighborAttentionConv(8, 16)(torch.rand(3, 8), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([3, 16])
    """

    def __init__(
        self, in_channels: Widths, out_channels: int, *, heads: int = 4, **options: Unpack[MessagePassingOptions]
    ) -> None:
        options.setdefault("aggr", "add")
        super().__init__(in_channels, out_channels, heads=heads, **options)
        width = max(self.widths)  # one of them may be -1
        self.mlp = lazy_mlp(-1 if width < 0 else 2 * width, out_channels, heads=heads)
        if width > 0:
            self._check_heads(width)
        self.query, self.key, self.value = (_linear(width) for _ in range(3))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for part in (self.query, self.key, self.value):
            layer = part[0]
            if isinstance(layer, nn.Linear):  # `nn.Linear.reset_parameters` draws from another distribution
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def combine(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        """Return each node concatenated with the weighted values of its neighbors, `(N, 2 C)`.

        Args:
            x: Node features, or a pair of sources and targets.
            edge_index: Edges `(2, E)` with sources in row 0 and targets in row 1, or another form of PyG's `Adj`.
            size: Numbers of nodes (M, N), or `None`.

        Shapes: `x (N, C)` to `(N, 2 C)`.
        """
        x_src, x_dst, edge_index = self.inputs(x, edge_index, size)
        sources = torch.cat([self.key(x_src), self.value(x_src)], dim=1)  # (M, 2 C)
        return torch.cat([x_dst, self.exchange(sources, self.query(x_dst), edge_index, x_dst.size(1))], dim=1)

    def message(
        self, x_i: Tensor, x_j: Tensor, index: Tensor, ptr: Tensor | None = None, size_i: int | None = None
    ) -> Tensor:
        key, value = x_j.chunk(2, dim=1)
        query, key, value = (part.unflatten(1, (self.heads, -1)) for part in (x_i, key, value))  # (E, H, C / H)
        scores = (query * key).sum(-1) * query.size(-1) ** -0.5
        return (softmax(scores, index, ptr, size_i).unsqueeze(-1) * value).flatten(1)  # (E, H, C / H) -> (E, C)

    def _lazy_parts(self, widths: tuple[int, int]) -> list[tuple[nn.Sequential, int]]:
        self._check_heads(widths[0])
        parts = [(self.mlp, 2 * widths[0])]
        return parts + [(part, widths[0]) for part in (self.query, self.key, self.value)]

    def _check_heads(self, width: int) -> None:
        if width % self.heads:
            raise ValueError(
                f"heads={self.heads} must divide in_channels={width}: choose another number of heads or width."
            )


def _linear(width: int) -> nn.Sequential:
    """Return a linear layer from a width to the same width, which may be -1 until `complete` sets it."""
    return nn.Sequential(linear_layer(width, width) if width > 0 else LazyMultiHeadLinear(-1))
