"""Max-Relative graph convolution with the differences reversed, as in MobileViG."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor
from torch_geometric.typing import Adj

from vig_pyg.conv._sparse import reduce_edges
from vig_pyg.conv._types import NodesOrOptPair, Sizes
from vig_pyg.conv.max_relative_conv import MaxRelativeConv
from vig_pyg.conv.registry import register_conv
from vig_pyg.ops import TooManyNeighborsError, has_max_relative, max_relative


@register_conv("mr_reversed")
class ReversedMaxRelativeConv(MaxRelativeConv):
    r"""Applies an MLP to each node and the channel-wise maximum of the differences from its neighbors.

    .. math:: x_i' = \mathrm{MLP}\big(\big[x_i,\ \max_{j \in \mathcal{N}(i)} (x_i - x_j)\big]\big)

    (MobileViG, arXiv 2307.00395, section 3.1). It is `MaxRelativeConv` with the opposite sign, so the maximum finds
    the smallest neighbor of each channel. Everything else is the same.

    Args:
        in_channels: Width C of the nodes, at least 1; -1 stands for the width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layer, a divisor of both widths; MobileViG uses 1.
        **options: The options of PyG's `MessagePassing` (see `MaxRelativeConv`).

    Shapes: as for `MaxRelativeConv`.

    Raises:
        TypeError: As for `MaxRelativeConv`.
        ValueError: As for `MaxRelativeConv`.
        IndexError: As for `MaxRelativeConv`.

    Example:
        >>> conv = ReversedMaxRelativeConv(1, 4, heads=1)
        >>> conv.combine(torch.tensor([[5.0], [3.0]]), torch.tensor([[0, 1], [0, 0]])).tolist()
        [[5.0, 2.0], [3.0, 0.0]]
    """

    def combine(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        """Return the nodes and the maxima of their differences, interleaved channel by channel, `(N, 2 C)`.

        Args:
            x: As for `forward`.
            edge_index: As for `forward`.
            size: As for `forward`.

        Shapes: `x (N, C)` to `(N, 2 C)`.
        """
        x_src, x_dst, edge_index = self.inputs(x, edge_index, size)
        if self.skips_propagate() and has_max_relative(x_src, x_dst):
            with suppress(TooManyNeighborsError):
                negative = -x_dst
                sources = negative if x_src is x_dst else -x_src
                both = max_relative(sources, negative, edge_index, by_target=self.by_target)
                return torch.stack([x_dst, both[:, 1::2]], dim=2).flatten(1)
        largest = self.exchange(x_src, x_dst, edge_index, x_dst.size(1))
        return torch.stack([x_dst, largest], dim=2).flatten(1)  # (N, C, 2) -> (N, 2 C)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return x_i - x_j

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor]) -> Tensor:
        x_src, x_dst = x
        largest = x_dst + reduce_edges(adj_t, -x_src, "amax")
        return largest.masked_fill(adj_t.crow_indices().diff().eq(0).unsqueeze(1), 0)
