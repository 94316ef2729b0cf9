"""Base classes of the graph convolutions in this library."""

from __future__ import annotations

from copy import copy
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import Aggregation, MaxAggregation
from torch_geometric.typing import Adj

from vig_pyg.conv._sparse import can_use_sparse, transposed_csr
from vig_pyg.conv._types import MessagePassingOptions, NodesOrOptPair, Sizes, Widths
from vig_pyg.conv.adjacency import check_size, plain_edges
from vig_pyg.conv.lazy import complete
from vig_pyg.layers import reset_mlp
from vig_pyg.ops import check_features, check_range, check_same, checked_edges, edge_max


class VisionConv(MessagePassing):
    """Base class of graph convolutions: a `MessagePassing` layer that checks its inputs.

    Args:
        in_channels: Width C of the nodes, at least 1, or a pair of widths of sources and targets; -1 stands for the
            width of the first input.
        out_channels: Width C' of the result, at least 1.
        heads: Number of heads of the linear layers.
        **options: The other options of PyG's `MessagePassing`, such as `aggr="max"` and `flow`.

    Shapes: a subclass maps `x (N, C)` or `(x_src (M, C), x_dst (N, C))` and `edge_index (2, E)` to `(N, C')`.

    Raises:
        ValueError: If a width is below 1, if the nodes are not the first of two dimensions (`node_dim`), or if
            `decomposed_layers` is above 1.

    Example:
        >>> class SumConv(VisionConv):
        ...     def forward(self, x, edge_index):
        ...         x_src, x_dst = self.pair(x)
        ...         return self.propagate(self.edges(edge_index, x_dst), x=(x_src, x_dst))
        >>> SumConv(4, 4, heads=1, aggr="sum")(torch.ones(3, 4), torch.tensor([[0, 1], [2, 2]]))[2].tolist()
        [2.0, 2.0, 2.0, 2.0]
    """

    #: If true, the edges are known to be in range and sorted by target, as in a Grapher. On a GPU this avoids a check
    #: that would synchronize the device.
    by_target = False
    #: True if the operator can take sources and targets of different widths.
    two_widths = False
    #: The aggregation that `message_and_aggregate` computes, or `None` if it can compute any aggregation.
    fused_aggregation: type[Aggregation] | None = None
    _has_own_steps = False
    fuse: bool

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)

        def depth(name: str) -> int:
            return next(i for i, kind in enumerate(cls.__mro__) if name in vars(kind))

        # If a subclass overrides `message`, the inherited `message_and_aggregate` would ignore the new messages.
        steps = min(depth(name) for name in ("message", "aggregate", "update"))
        cls._has_own_steps = steps < depth("message_and_aggregate")

    def __init__(
        self, in_channels: Widths, out_channels: int, *, heads: int, **options: Unpack[MessagePassingOptions]
    ) -> None:
        super().__init__(**options)
        name, widths = type(self).__name__, in_channels if isinstance(in_channels, tuple | list) else (in_channels,) * 2
        if len(widths) != 2 or any(width < 1 and width != -1 for width in widths) or out_channels < 1:
            raise ValueError(f"Widths must be at least 1, got in_channels={in_channels}, out_channels={out_channels}.")
        if self.node_dim not in (-2, 0):
            raise ValueError(f"{name} expects nodes (N, C), so node_dim must be -2 or 0, got {self.node_dim}.")
        if self.aggr_module is None and not self._aggregates():
            raise ValueError(f"{name} got aggr=None, but does not override `aggregate`: name an aggregation.")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.widths = self._checked_widths((widths[0], widths[1]))

    @property
    def decomposed_layers(self) -> int:
        """Number of parts into which PyG divides the channels of `propagate`; only 1 is possible."""
        return 1

    @decomposed_layers.setter
    def decomposed_layers(self, decomposed_layers: int) -> None:
        if decomposed_layers != 1:
            raise ValueError(
                f"{type(self).__name__} sends messages between two node sets, which PyG cannot decompose (as in "
                f"its own bipartite operators): got decomposed_layers={decomposed_layers}, leave it out."
            )

    def pair(self, x: NodesOrOptPair, size: Sizes | None = None) -> tuple[Tensor, Tensor]:
        """Check the node features, and return them as a pair of sources `(M, C)` and targets `(N, C)`.

        Args:
            x: Node features, or a pair of sources and targets. If the targets are `None`, zeros are used instead.
            size: Numbers of nodes (M, N), or `None`.

        Raises:
            TypeError: If a part is not a dense floating-point tensor.
            ValueError: If a width is not `in_channels`, if sources and targets differ in dtype or device, or if there
                are more or fewer nodes than `size` states.
        """
        if size is None and isinstance(x, Tensor) and x.layout is torch.strided and x.is_floating_point():
            shape = x.shape
            if len(shape) == 2 and shape[1] == self.in_channels:
                return x, x
        name = type(self).__name__
        if not isinstance(x, Tensor) and not (isinstance(x, tuple | list) and len(x) == 2):
            raise TypeError(f"{name} expects nodes (N, C) or a pair of sources and targets, got {type(x).__name__}.")
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
        if -1 in self.widths:
            self._complete(x_src, x_dst)
        parts = ((x_src, self.widths[0]), (x_src if x_dst is None else x_dst, self.widths[1]))
        for part, width in parts if x_dst is not None else parts[:1]:
            if isinstance(part, Tensor) and (part.dim() != 2 or part.size(1) != width):
                raise ValueError(f"{name} expects nodes (N, {width}), got {tuple(part.shape)}.")
            check_features(part, f"{name}'s nodes", 2)
        if x_dst is None:
            count = x_src.size(0) if size is None or size[1] is None else size[1]
            x_dst = x_src.new_zeros(count, self.widths[1])
        if x_src is not x_dst:
            check_same(x_src, x_dst, f"{name}'s sources and targets")
        check_size(size, x_src.size(0), x_dst.size(0), name)
        return x_src, x_dst

    def edges(self, edge_index: Adj, x_dst: Tensor) -> Tensor:
        """Check the edges, and return them as int64 `(2, E)`; only `exchange` checks the range of the indices.

        Args:
            edge_index: Edges `(2, E)` with sources in row 0 and targets in row 1, or another form of PyG's `Adj`.
            x_dst: Target features, which define the device.

        Raises:
            TypeError: If the edges are neither a dense tensor of int64 or int32 nor another form of `Adj`.
            ValueError: If their shape is not `(2, E)`, or they are on another device than the nodes.
        """
        if type(edge_index) is not Tensor or edge_index.layout is not torch.strided:
            edge_index, _ = plain_edges(edge_index, None, type(self).__name__, self.flow)
        return checked_edges(edge_index, x_dst.device, type(self).__name__)

    def inputs(self, x: NodesOrOptPair, edge_index: Adj, size: Sizes | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Check nodes and edges, except for the range of the indices; all forms that PyG's operators accept are valid.

        Args:
            x: Node features, or a pair of sources and targets (see `pair`).
            edge_index: Edges `(2, E)`, an `EdgeIndex`, or a transposed adjacency matrix (see `plain_edges`).
            size: Numbers of nodes (M, N), or `None`.

        Returns:
            Sending nodes `(M, C)`, receiving nodes `(N, C)`, and edges `(2, E)` whose row 0 holds the senders for
            either `flow`.

        Raises:
            TypeError: As for `pair` and `edges`.
            ValueError: As for `pair`, `edges` and `plain_edges`.
        """
        if type(edge_index) is not Tensor or edge_index.layout is not torch.strided:
            edge_index, size = plain_edges(edge_index, size, type(self).__name__, self.flow)
        x_src, x_dst = self.pair(x, size)
        edge_index = self.edges(edge_index, x_dst)
        return x_src, x_dst, edge_index if self.flow == "source_to_target" else edge_index.flip(0)

    def exchange(self, x_src: Tensor, x_dst: Tensor, edge_index: Tensor, channels: int) -> Tensor:
        """Send messages along the edges and aggregate them, by a sparse product if single messages are not needed.

        Args:
            x_src: Nodes that send, `(M, C)`.
            x_dst: Nodes that receive, `(N, C)`.
            edge_index: Edges `(2, E)` from `inputs`.
            channels: Expected width C' of the aggregated messages.

        Returns:
            The aggregated messages `(N, C')`.

        Raises:
            IndexError: If an index is out of range.
            ValueError: If the aggregated messages have another width.
        """
        edges = edge_index
        if self.fuses() and can_use_sparse(x_src, edge_index) and self.has_sparse_form(edge_index.size(1)):
            edges = transposed_csr(edge_index, x_src.size(0), x_dst.size(0), x_src.dtype)
        elif not (self.by_target and edge_index.device.type != "cpu"):  # the check would synchronize a GPU
            check_range(edge_index, x_src.size(0), x_dst.size(0), type(self).__name__)
        out = self._propagate(edges, x_src, x_dst)
        if out.size(-1) != channels:
            raise ValueError(
                f"{type(self).__name__} needs {channels} aggregated channels, but aggr={self.aggr!r} returned "
                f"{out.size(-1)}: use one aggregation that keeps the width, or GraphSAGEConv, which accepts several."
            )
        return out

    def _propagate(self, edges: Tensor, x_src: Tensor, x_dst: Tensor) -> Tensor:
        if self.flow != "source_to_target":  # with another flow, PyG's `propagate` would swap the two parts of a pair
            twin = copy(self)  # the copy shares parameters and hooks; the rows of the edges are already swapped
            twin.flow = "source_to_target"
            return twin._propagate(edges, x_src, x_dst)
        out: Tensor = self.propagate(edges, x=(x_src, x_dst))
        return out

    def has_sparse_form(self, num_edges: int) -> bool:  # noqa: ARG002
        """True if `message_and_aggregate` gives the result of this operator's layers for this number of edges.

        Args:
            num_edges: Number of edges E.
        """
        return True

    def aggregate(
        self, inputs: Tensor, index: Tensor, ptr: Tensor | None = None, dim_size: int | None = None
    ) -> Tensor:
        # If several messages attain the maximum, the first one receives the gradient, as in the fused paths.
        if type(self.aggr_module) is not MaxAggregation or dim_size is None:
            return super().aggregate(inputs, index, ptr, dim_size)
        return edge_max(inputs, index, dim_size)

    def fuses(self) -> bool:
        """True if the fused path may be used.

        It is not used if the single messages are needed (by an explainer, a hook, or a subclass that overrides
        `message`), or if the aggregation or the flow is not that of the fused path.
        """
        if not self.fuse or self.explain or self._has_own_steps or self.flow != "source_to_target":
            return False
        aggr, expected = self.aggr_module, self.fused_aggregation
        if expected is not None and (type(aggr) is not expected or aggr._forward_hooks or aggr._forward_pre_hooks):
            return False
        return not (
            self._message_forward_pre_hooks
            or self._message_forward_hooks
            or self._aggregate_forward_pre_hooks
            or self._aggregate_forward_hooks
            or self._propagate_forward_pre_hooks
            or self._propagate_forward_hooks
        )

    def skips_propagate(self) -> bool:
        """True if even `propagate` may be skipped, because `message_and_aggregate` has no hook either."""
        hooks = self._message_and_aggregate_forward_pre_hooks or self._message_and_aggregate_forward_hooks
        return not hooks and self.fuses()

    def _set_jittable_templates(self, raise_on_error: bool = False) -> None:
        # PyG generates `propagate` once per class. If the first instance could not fuse, later ones would fail.
        fuse, self.fuse = self.fuse, self.inspector.implements("message_and_aggregate")
        try:
            super()._set_jittable_templates(raise_on_error)
        finally:
            self.fuse = fuse

    def reset_parameters(self) -> None:
        """Reinitialize the parameters of all submodules."""
        for module in self.children():
            for layer in module.modules():
                if layer is not self and hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
            reset_mlp(module)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, heads={self.heads})"

    def _lazy_parts(self, widths: tuple[int, int]) -> list[tuple[nn.Sequential, int]]:  # noqa: ARG002
        """Return the MLPs from `lazy_mlp`, each with its input width; `widths` are the widths of x."""
        raise ValueError(f"{type(self).__name__} needs its width: in_channels=-1 is not supported.")

    def _complete(self, x_src: Any, x_dst: Any) -> None:
        """Replace widths of -1 by the widths of the first input, as PyG's lazy operators do."""
        sound = (isinstance(x, Tensor) and x.dim() == 2 and x.is_floating_point() for x in (x_src, x_dst))
        found = tuple(x.size(1) if fits else 0 for x, fits in zip((x_src, x_dst), sound, strict=True))
        first, second = (new if old == -1 else old for old, new in zip(self.widths, found, strict=True))
        if x_dst is None and self.widths[1] == -1:
            if self.two_widths:
                raise ValueError(
                    f"{type(self).__name__}(-1, ...) learns its widths from the first input, but these targets are "
                    "None: pass in_channels=(sources, targets)."
                )
            second = first
        if first < 1 or second < 1:
            return  # without features, the following checks raise the error
        widths = self._checked_widths((first, second))
        complete(self._lazy_parts(widths))
        self.widths = widths
        self.in_channels = widths if isinstance(self.in_channels, tuple | list) or first != second else first

    def _aggregates(self) -> bool:
        """True if a subclass outside this library overrides `aggregate`."""
        owner = next(kind for kind in type(self).__mro__ if "aggregate" in vars(kind))
        return not owner.__module__.startswith(("torch_geometric.", "vig_pyg.conv."))

    def _checked_widths(self, widths: tuple[int, int]) -> tuple[int, int]:
        if widths[0] != widths[1] and not self.two_widths and -1 not in widths:
            raise ValueError(
                f"{type(self).__name__} combines sources and targets channel by channel, so both need one width, got "
                f"{widths}: map one of them with torch.nn.Linear first, or use GraphSAGEConv."
            )
        return widths
