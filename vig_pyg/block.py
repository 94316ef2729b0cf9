"""The block of Vision GNN: a Grapher, which exchanges information between patches, and an FFN on each patch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vig_pyg._own_parts import EDGES, FAULTS, explained, is_of_this_library, new_builder, new_operator, shapes_of
from vig_pyg.conv import (
    ConvFactory,
    MaxRelativeConv,
    NodesOrPair,
    NodeUpdateConv,
    VisionConv,
    apply_to_pair,
    apply_with_edge_attr,
    edge_argument,
    refuse_edge_attr,
    refuse_pair,
    takes_one_set,
)
from vig_pyg.data import BatchLayout, pool_nodes
from vig_pyg.graph import Builder, DilatedKNN, Edges, GraphFactory, builder_name, is_own, sound_graph
from vig_pyg.graph.search import Search
from vig_pyg.layers import FFN, DropPath, LayerScale, LinearNorm
from vig_pyg.local import ConditionalPosition
from vig_pyg.ops import mlp, prefers_no_edges


class FunctionBuilder(nn.Module):
    """Wraps a plain function as a module, so that forward hooks can record the graphs that it builds.

    Args:
        function: The function, a `vig_pyg.graph.Builder`.

    Shapes: those of the function.

    Example:
        >>> import torch
        >>> builder = FunctionBuilder(lambda x, layout, x_src, layout_src: torch.arange(len(x)).repeat(2, 1))
        >>> layout = BatchLayout.from_sizes([(1, 2)])
        >>> builder(torch.rand(2, 8), layout, torch.rand(2, 8), layout).tolist()
        [[0, 1], [0, 1]]
    """

    def __init__(self, function: Builder) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        return self.function(x, layout, x_src, layout_src)


class Grapher(nn.Module):
    r"""Builds the graph of the patches, and applies a graph convolution to it.

    .. math:: y = \mathrm{BN}(W_1 x), \qquad
        x' = x + \mathrm{BN}\big(W_2\, \mathrm{conv}(y, \mathcal{G}(y))\big)

    (Vision GNN, arXiv 2206.00272, section 3.2).

    Args:
        channels: Width C of the nodes.
        conv: Factory of the operator, which is called with the widths C and `conv_channels`. If the sources are pooled,
            the option `add_self_loops` of an operator is switched off, because node i and source i are different
            positions.
        graph: Factory of the graph builder, which is called with `k` and `dilation`. If the builder returns edge
            attributes, the operator receives them as `edge_attr` or `edge_weight`, depending on the signature of its
            `forward`.
        k: Number of neighbors of each patch, at least 1.
        dilation: Spacing of the neighbors, at least 1.
        reduce_ratio: Side length in patches of the window over which the sources are averaged; 1 means no pooling.
        drop_path: Probability of stochastic depth for the residual branch, in [0, 1).
        conv_channels: Width of the operator's result; by default 2 C, the published width.
        position_kernel: Kernel size of a `ConditionalPosition` before the first linear layer; 0, the default, for none.
        layer_scale: Initial value of the factors of the branch (see `LayerScale`); by default there are none.

    Shapes: `x (N, C)` and its layout to `(N, C)`.

    Raises:
        TypeError: If your own graph builder does not return a dense tensor of int64 or int32, or if your own operator
            or builder cannot be created or called (see `ConvFactory` and `vig_pyg.graph.GraphFactory`).
        ValueError: If the operator does not return `(N, conv_channels)`, if your own graph builder does not return
            `(2, E)` or connects two images, if the builder returns edge attributes and the operator does not accept
            them, or if the sources are pooled and the operator does not accept a pair.
        IndexError: If your own graph builder returns a node that does not exist.

    Example:
        >>> import torch
        >>> from vig_pyg import DilatedKNN, conv
        >>> from vig_pyg.data import BatchLayout
        >>> grapher = Grapher(8, conv=conv.GINConv, graph=DilatedKNN, k=3)
        >>> grapher(torch.rand(16, 8), BatchLayout.from_sizes([(4, 4)])).shape
        torch.Size([16, 8])
    """

    def __init__(
        self,
        channels: int,
        *,
        conv: ConvFactory,
        graph: GraphFactory,
        k: int,
        dilation: int = 1,
        reduce_ratio: int = 1,
        drop_path: float = 0.0,
        conv_channels: int | None = None,
        position_kernel: int = 0,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.k = k
        self.dilation = dilation
        self.reduce_ratio = reduce_ratio
        self.conv_channels = 2 * channels if conv_channels is None else conv_channels
        self.position = ConditionalPosition(channels, position_kernel) if position_kernel else None
        self.fc1 = LinearNorm(channels, channels)
        builder = new_builder(graph, k, dilation, self._place())
        self.graph = builder if isinstance(builder, nn.Module) else FunctionBuilder(builder)
        self.conv = new_operator(conv, channels, self.conv_channels, self._place())
        if reduce_ratio > 1 and takes_one_set(self.conv):
            raise refuse_pair(self.conv, reduce_ratio)
        for part in self.conv.modules() if reduce_ratio > 1 else ():  # the operator may be inside a wrapper
            if getattr(part, "add_self_loops", False):
                setattr(part, "add_self_loops", False)  # noqa: B010  (an attribute of PyG's operators)
        if isinstance(self.conv, VisionConv):
            self.conv.by_target = True  # `sound_graph` checks and sorts the edges
        self._edge_argument = edge_argument(self.conv)
        # Builders of this library use this name; in others it may mean anything.
        named = getattr(builder, "edge_attr", ())
        if isinstance(named, tuple) and named and self._edge_argument is None:
            raise refuse_edge_attr(self.conv)
        self.fc2 = LinearNorm(self.conv_channels, channels)
        self.scale = None if layer_scale is None else LayerScale(channels, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, layout: BatchLayout) -> Tensor:
        if not torch.compiler.is_compiling() and x.size(0) != layout.num_nodes:
            raise ValueError(
                f"Got {x.size(0)} nodes, but a layout of {layout.num_nodes} nodes: pass the layout of these images."
            )
        y = self.fc1(x if self.position is None else self.position(x, layout))
        y_src, layout_src = pool_nodes(y, layout, self.reduce_ratio)
        search, conv = self._search(y, layout, y_src, layout_src), self.conv
        if search is not None and isinstance(conv, MaxRelativeConv):
            joined = x if self.scale is None and self.drop_path.drops_nothing() else None
            out = mlp(search.max_relative(), conv.mlp, self.fc2, residual=joined)
            if joined is not None:
                return out
        else:
            edges = self._edges(y, layout, y_src, layout_src)
            edge_index, edge_attr = sound_graph(edges, self.graph, y_src, y, layouts=(layout, layout_src))
            nodes, expected = y if y_src is y else (y_src, y), (x.size(0), self.conv_channels)
            if torch.compiler.is_compiling() or is_of_this_library(conv):
                out = self._update(nodes, edge_index, edge_attr, expected)
            else:
                out = self._own_update(nodes, edge_index, edge_attr, expected)
        return x + self.drop_path(out if self.scale is None else self.scale(out), layout.batch, layout.num_graphs)

    def _search(self, y: Tensor, layout: BatchLayout, y_src: Tensor, layout_src: BatchLayout) -> Search | None:
        """The neighbor search, if a GPU can aggregate without edges; `None` if edges are needed."""
        graph, conv = self.graph, self.conv
        if not (type(graph) is DilatedKNN and type(conv) is MaxRelativeConv and prefers_no_edges(y_src, y)):
            return None
        widths = conv.in_channels, conv.out_channels
        if (
            widths != (y.size(1), self.conv_channels)
            or not (conv.skips_propagate() and conv.splits())
            or is_watched(graph, conv)
        ):
            return None
        return graph.search(y, layout, y_src, layout_src)

    def _edges(self, y: Tensor, layout: BatchLayout, y_src: Tensor, layout_src: BatchLayout) -> Edges:
        """Call the graph builder; errors of the user's own name it."""
        graph = self.graph
        if torch.compiler.is_compiling() or is_own(graph):
            edges: Edges = graph(y, layout, y_src, layout_src)
            return edges
        try:
            edges = graph(y, layout, y_src, layout_src)
            return edges
        except FAULTS as error:
            given = f"{shapes_of(y)}, a layout, x_src {tuple(y_src.shape)}, and the layout of x_src"
            raise explained(error, f"The graph builder {builder_name(graph)}", self._place(), given, EDGES) from error

    def _own_update(
        self, y: NodesOrPair, edge_index: Tensor, edge_attr: Tensor | None, expected: tuple[int, int]
    ) -> Tensor:
        """As `_update`; errors of the user's own operator name it."""
        try:
            return self._update(y, edge_index, edge_attr, expected)
        except FAULTS as error:
            given = f"{shapes_of(y)} and edge_index {tuple(edge_index.shape)}"
            what = f"The operator {type(self.conv).__name__}"
            raise explained(error, what, self._place(), given, str(expected)) from error

    def _place(self) -> str:
        return f"a Grapher of {self.fc1[0].out_features} channels ({self.extra_repr()})"

    def _update(
        self, y: NodesOrPair, edge_index: Tensor, edge_attr: Tensor | None, expected: tuple[int, int]
    ) -> Tensor:
        """Apply the operator and the following linear layer, together if the operator ends with an MLP on nodes."""
        conv = self.conv
        if edge_attr is not None:
            out = apply_with_edge_attr(conv, y, edge_index, edge_attr, self._edge_argument, self.reduce_ratio)
        elif isinstance(conv, NodeUpdateConv) and conv.out_channels == expected[1] and conv.splits():
            return mlp(conv.combine(y, edge_index), conv.mlp, self.fc2)
        elif isinstance(conv, VisionConv):
            out = conv(y, edge_index)
        else:
            out = apply_to_pair(conv, y, edge_index, self.reduce_ratio)
        if not isinstance(out, Tensor) or out.shape != expected:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(
                f"{type(conv).__name__} returned {got}, expected {expected}: an operator made by "
                f"conv({self.fc1[0].out_features}, {expected[1]}) must return (nodes, out_channels)."
            )
        result: Tensor = self.fc2(out)
        return result

    def extra_repr(self) -> str:
        return f"k={self.k}, dilation={self.dilation}, reduce_ratio={self.reduce_ratio}"


def is_watched(*modules: nn.Module) -> bool:
    """True if a module has a hook, or an instance attribute that overrides a method of its class.

    Args:
        modules: The modules.

    Example:
        >>> layer = nn.Linear(2, 2); handle = layer.register_forward_hook(print); is_watched(layer)
        True
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in modules):
        return True
    if any(module._backward_hooks or module._backward_pre_hooks for module in modules):
        return True
    if torch.compiler.is_compiling():  # torch.compile cannot trace the following code, and handles global hooks itself
        return False
    own = (not vars(module).keys().isdisjoint(vars(type(module))) for module in modules)
    return torch.nn.modules.module._has_any_global_hook() or any(own)


class Block(nn.Module):
    """A Grapher followed by an FFN (Vision GNN, arXiv 2206.00272, section 3.2).

    Args:
        grapher: The Grapher.
        ffn: The FFN, of the same width.

    Shapes: `x (N, C)` and its layout to `(N, C)`.

    Example:
        >>> from vig_pyg import DilatedKNN, conv
        >>> from vig_pyg.data import BatchLayout
        >>> block = Block(Grapher(8, conv=conv.GINConv, graph=DilatedKNN, k=3), FFN(8, 32))
        >>> block(torch.rand(16, 8), BatchLayout.from_sizes([(4, 4)])).shape
        torch.Size([16, 8])
    """

    def __init__(self, grapher: Grapher, ffn: FFN) -> None:
        super().__init__()
        self.grapher = grapher
        self.ffn = ffn

    def forward(self, x: Tensor, layout: BatchLayout) -> Tensor:
        x = self.grapher(x, layout)
        out: Tensor = self.ffn(x, layout.batch, layout.num_graphs)
        return out
