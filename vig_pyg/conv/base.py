"""Base classes of the graph convolutions in this library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from vig_pyg.conv._sparse import transposed_csr
from vig_pyg.layers import reset_mlp
from vig_pyg.ops import check_features, check_range, check_same, checked_edges

#: Node features `(N, C)`, or a pair of source features `(M, C)` and target features `(N, C)`.
NodesOrPair = Tensor | tuple[Tensor, Tensor]


class VisionConv(MessagePassing):
    """Base class of graph convolutions: a `MessagePassing` layer that checks its inputs.

    Args:
        in_channels: Width C of the nodes, at least 1.
        out_channels: Width C' of the result, at least 1.
        heads: Number of heads of the linear layers.
        aggr: Aggregation of PyG's `MessagePassing`, such as `"max"`.

    Shapes: a subclass maps `x (N, C)` or `(x_src (M, C), x_dst (N, C))` and `edge_index (2, E)` to `(N, C')`.

    Raises:
        ValueError: If a width is below 1.

    Example:
        >>> class SumConv(VisionConv):
        ...     def forward(self, x, edge_index):
        ...         x_src, x_dst = self.pair(x)
        ...         return self.propagate(self.edges(edge_index, x_dst), x=(x_src, x_dst))
        >>> SumConv(4, 4, heads=1, aggr="sum")(torch.ones(3, 4), torch.tensor([[0, 1], [2, 2]]))[2].tolist()
        [2.0, 2.0, 2.0, 2.0]
    """

    #: If true, the edges are known to be in range and sorted by target, as those of a Grapher are. On a GPU this skips
    #: a check that synchronizes the device.
    by_target = False
    _has_own_steps = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)

        def depth(name: str) -> int:
            return next(i for i, kind in enumerate(cls.__mro__) if name in vars(kind))

        # If a subclass overrides `message`, the inherited `message_and_aggregate` would ignore the new messages.
        steps = min(depth(name) for name in ("message", "aggregate", "update"))
        cls._has_own_steps = steps < depth("message_and_aggregate")

    def __init__(self, in_channels: int, out_channels: int, *, heads: int, aggr: str) -> None:
        super().__init__(aggr=aggr)
        if in_channels < 1 or out_channels < 1:
            raise ValueError(f"Widths must be at least 1, got in_channels={in_channels}, out_channels={out_channels}.")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads

    def pair(self, x: NodesOrPair) -> tuple[Tensor, Tensor]:
        """Check the node features, and return them as a pair of sources `(M, C)` and targets `(N, C)`.

        Args:
            x: Node features, or a pair of sources and targets.

        Raises:
            TypeError: If a part is not a dense floating-point tensor.
            ValueError: If a width is not `in_channels`, or sources and targets differ in dtype or device.
        """
        if isinstance(x, Tensor) and x.layout is torch.strided and x.is_floating_point():
            shape = x.shape
            if len(shape) == 2 and shape[1] == self.in_channels:
                return x, x
        name = type(self).__name__
        if not isinstance(x, Tensor) and not (isinstance(x, tuple | list) and len(x) == 2):
            raise TypeError(f"{name} expects nodes (N, C) or a pair of sources and targets, got {type(x).__name__}.")
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
        for part in (x_src,) if x_src is x_dst else (x_src, x_dst):
            if isinstance(part, Tensor) and (part.dim() != 2 or part.size(1) != self.in_channels):
                raise ValueError(f"{name} expects nodes (N, {self.in_channels}), got {tuple(part.shape)}.")
            check_features(part, f"{name}'s nodes", 2)
        if x_src is not x_dst:
            check_same(x_src, x_dst, f"{name}'s sources and targets")
        return x_src, x_dst

    def edges(self, edge_index: Any, x_dst: Tensor) -> Tensor:
        """Check the edges except for their range, and return them as int64 `(2, E)`; `graph` checks the range.

        Args:
            edge_index: Edges `(2, E)`: sources in row 0, targets in row 1.
            x_dst: Target features, which define the device.

        Raises:
            TypeError: If the edges are not a dense tensor of int64 or int32.
            ValueError: If their shape is not `(2, E)`, or they are on another device than the nodes.
        """
        return checked_edges(edge_index, x_dst.device, type(self).__name__)

    def graph(self, edge_index: Tensor, x_src: Tensor, x_dst: Tensor, *, sparse: bool) -> Tensor:
        """Check the range of the edges, and convert them into the form that `propagate` needs.

        Args:
            edge_index: Edges `(2, E)` from `edges`.
            x_src: Source features.
            x_dst: Target features.
            sparse: If true, return a sparse matrix for `message_and_aggregate`, otherwise `edge_index`.

        Raises:
            IndexError: If an index is out of range.
        """
        if sparse:
            return transposed_csr(edge_index, x_src.size(0), x_dst.size(0), x_src.dtype)
        if not (self.by_target and edge_index.device.type != "cpu"):  # on a GPU the check synchronizes
            check_range(edge_index, x_src.size(0), x_dst.size(0), type(self).__name__)
        return edge_index

    def fuses(self) -> bool:
        """True if the fused path may be used: no explainer, no message hook, no subclass that overrides `message`."""
        hooks = self._message_forward_pre_hooks, self._message_forward_hooks
        more = self._propagate_forward_pre_hooks, self._propagate_forward_hooks
        return self.fuse and not self.explain and not self._has_own_steps and not any((*hooks, *more))

    def reset_parameters(self) -> None:
        """Reinitialize the parameters of all submodules."""
        for module in self.children():
            for layer in module.modules():
                if layer is not self and hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
            reset_mlp(module)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, heads={self.heads})"


class NodeUpdateConv(VisionConv):
    """Base class of graph convolutions whose last step is an MLP on each node.

    A subclass sets `mlp` and implements `combine`. Because the two steps are separate, a Grapher can compute `mlp`
    together with the linear layer that follows the convolution.

    Args:
        in_channels: Width C of the nodes, at least 1.
        out_channels: Width C' of the result, at least 1.
        heads: Number of heads of the linear layers.
        aggr: Aggregation of PyG's `MessagePassing`, such as `"max"`.

    Shapes: `x (N, C)` or `(x_src (M, C), x_dst (N, C))` and `edge_index (2, E)` to `(N, C')`.

    Example:
        >>> from vig_pyg.conv import GINConv
        >>> conv = GINConv(8, 16); x, edge_index = torch.rand(3, 8), torch.tensor([[0, 1], [1, 2]])
        >>> torch.equal(conv.eval()(x, edge_index), conv.mlp(conv.combine(x, edge_index)))
        True
    """

    mlp: nn.Sequential

    def combine(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        """Combine each node with its neighbors; the result is the input of `mlp`.

        Args:
            x: Node features, or a pair of sources and targets.
            edge_index: Edges `(2, E)`: sources in row 0, targets in row 1.
        """
        raise NotImplementedError

    def forward(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        out: Tensor = self.mlp(self.combine(x, edge_index))
        return out

    def splits(self) -> bool:
        """True if `combine` and `mlp` may be called separately: `forward` is not overridden and has no hook."""
        return type(self).forward is NodeUpdateConv.forward and not (self._forward_hooks or self._forward_pre_hooks)
