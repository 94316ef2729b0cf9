"""Base class of the graph convolutions that end with an MLP on each node."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.typing import Adj

from vig_pyg.conv._types import NodesOrOptPair, Sizes
from vig_pyg.conv.base import VisionConv


class NodeUpdateConv(VisionConv):
    """Base class of graph convolutions whose last step is an MLP on each node.

    A subclass sets `mlp` and implements `combine`. Because the two steps are separate, a Grapher can compute `mlp`
    together with the linear layer that follows the convolution.

    Args:
        in_channels: Width C of the nodes, at least 1.
        out_channels: Width C' of the result, at least 1.
        heads: Number of heads of the linear layers.
        **options: The other options of PyG's `MessagePassing`, such as `aggr="max"` and `flow`.

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))` and `edge_index (2, E)` to `(N, C')`.

    Raises:
        ValueError: As for `VisionConv`.

    Example:
        >>> import torch
        >>> from vig_pyg.conv import GINConv
        >>> conv = GINConv(8, 16); x, edge_index = torch.rand(3, 8), torch.tensor([[0, 1], [1, 2]])
        >>> torch.equal(conv.eval()(x, edge_index), conv.mlp(conv.combine(x, edge_index)))
        True
    """

    mlp: nn.Sequential

    def combine(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        """Combine each node with its neighbors; the result is the input of `mlp`.

        Args:
            x: Node features, or a pair of sources and targets.
            edge_index: Edges `(2, E)` with sources in row 0 and targets in row 1, or another form of PyG's `Adj`.
            size: Numbers of nodes (M, N), or `None`.

        Raises:
            NotImplementedError: If a subclass does not define this method.
        """
        raise NotImplementedError

    def forward(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> Tensor:
        out: Tensor = self.mlp(self.combine(x, edge_index) if size is None else self.combine(x, edge_index, size))
        return out

    def splits(self) -> bool:
        """True if `combine` and `mlp` may be called separately: `forward` is not overridden and has no hook."""
        return type(self).forward is NodeUpdateConv.forward and not (self._forward_hooks or self._forward_pre_hooks)
