"""What our operators share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from vig_pyg.conv._sparse import transposed_csr
from vig_pyg.ops import check_features, check_range, check_same, checked_edges

#: Node features, or (sources, targets).
NodesOrPair = Tensor | tuple[Tensor, Tensor]


class VisionConv(MessagePassing):
    """A graph convolution with widths and heads.

    Raises:
        ValueError: If a width is below 1.
    """

    #: Whether edges are sure to come in range and sorted by target, as a Grapher's do: saves a check on a GPU.
    by_target = False
    _has_own_steps = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)

        def depth(name: str) -> int:
            return next(i for i, kind in enumerate(cls.__mro__) if name in vars(kind))

        # a subclass with messages of its own inherits a `message_and_aggregate` that knows nothing of them
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
        """Sources and targets, checked.

        Raises:
            TypeError: If they are no dense tensors of floating-point numbers.
            ValueError: If a width is wrong, or sources and targets differ in type or device.
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
        """The edges as int64 `(2, E)`; `graph` checks their range.

        Raises:
            TypeError: If they are no dense tensor of int64 or int32.
            ValueError: If they have another shape than `(2, E)`, or are on another device.
        """
        return checked_edges(edge_index, x_dst.device, type(self).__name__)

    def graph(self, edge_index: Tensor, x_src: Tensor, x_dst: Tensor, *, sparse: bool) -> Tensor:
        """The edges in the form that `propagate` reads: between nodes that exist, as a sparse matrix where asked for.

        Raises:
            IndexError: If an index is out of range.
        """
        if sparse:
            return transposed_csr(edge_index, x_src.size(0), x_dst.size(0), x_src.dtype)
        if not (self.by_target and edge_index.device.type != "cpu"):  # a GPU would be waited for
            check_range(edge_index, x_src.size(0), x_dst.size(0), type(self).__name__)
        return edge_index

    def fuses(self) -> bool:
        """Whether nobody needs the single messages: PyG's explainers, hooks, and subclasses that redefine them do."""
        hooks = self._message_forward_pre_hooks, self._message_forward_hooks
        more = self._propagate_forward_pre_hooks, self._propagate_forward_hooks
        return self.fuse and not self.explain and not self._has_own_steps and not any((*hooks, *more))

    def reset_parameters(self) -> None:
        for module in self.children():
            for layer in module.modules():
                if layer is not self and hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, heads={self.heads})"


class NodeUpdateConv(VisionConv):
    """A graph convolution whose last step is an MLP on each node.

    It is written in two steps, so that a Grapher can join the MLP with its own linear layer behind it.
    """

    mlp: nn.Sequential

    def combine(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        """What a node and its neighbors give the MLP."""
        raise NotImplementedError

    def forward(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        out: Tensor = self.mlp(self.combine(x, edge_index))
        return out

    def splits(self) -> bool:
        """Whether the two steps may be called one by one: nobody changed or watches `forward`."""
        return type(self).forward is NodeUpdateConv.forward and not (self._forward_hooks or self._forward_pre_hooks)
