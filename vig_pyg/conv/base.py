"""What our operators share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

#: Node features, or (sources, targets).
NodesOrPair = Tensor | tuple[Tensor, Tensor]


class VisionConv(MessagePassing):
    """A graph convolution with widths and heads."""

    #: Whether edges are sure to come sorted by target, as those of a graph builder do: saves a check on a GPU.
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
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads

    def pair(self, x: NodesOrPair) -> tuple[Tensor, Tensor]:
        """Sources and targets, checked."""
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
        for part in (x_src, x_dst):
            if part.dim() != 2 or part.size(1) != self.in_channels:
                raise ValueError(
                    f"{self.__class__.__name__} expects nodes (N, {self.in_channels}), got {tuple(part.shape)}."
                )
        return x_src, x_dst

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

    It is written in two steps, so that a Grapher can join the MLP with its own linear map behind it.
    """

    mlp: nn.Sequential

    def combine(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        """What a node and its neighbours give the MLP."""
        raise NotImplementedError

    def forward(self, x: NodesOrPair, edge_index: Tensor) -> Tensor:
        out: Tensor = self.mlp(self.combine(x, edge_index))
        return out

    def splits(self) -> bool:
        """Whether the two steps may be called one by one: nobody changed or watches `forward`."""
        return type(self).forward is NodeUpdateConv.forward and not (self._forward_hooks or self._forward_pre_hooks)
