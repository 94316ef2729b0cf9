"""Resolution of `graph=` into a factory, and the check of edges that a user's builder returns."""

from __future__ import annotations

from inspect import Signature, signature
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from vig_pyg.data import BatchLayout
from vig_pyg.graph.axial import AxialGraph
from vig_pyg.graph.axial_threshold import ThresholdAxialGraph
from vig_pyg.graph.complete import CompleteGraph
from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.cross import CrossGraph
from vig_pyg.graph.crossing import crossing_edges, refuse_crossing
from vig_pyg.graph.dilated_knn import DilatedKNN
from vig_pyg.graph.edge_attr import Edges, split_edges
from vig_pyg.graph.grid import GridGraph
from vig_pyg.graph.log_rings import LogRingGraph
from vig_pyg.graph.logarithmic import LogGraph
from vig_pyg.graph.lookahead import Lookahead, LookaheadGraph
from vig_pyg.graph.random_graph import RandomGraph
from vig_pyg.graph.registry import GRAPHS
from vig_pyg.graph.reuse import Reuse, Reused
from vig_pyg.graph.window import WindowGraph
from vig_pyg.ops import check_range, checked_edges, is_symbolic

#: Builders whose edges are valid by construction. Subclasses are checked, because they may override `forward`.
_OWN = {
    DilatedKNN,
    WindowGraph,
    AxialGraph,
    ThresholdAxialGraph,
    CrossGraph,
    LogGraph,
    LogRingGraph,
    GridGraph,
    CompleteGraph,
    RandomGraph,
}


def sound_edges(edge_index: Tensor, builder: nn.Module, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """Check the edges that a graph builder returned, and sort them by target.

    The edges of this library's builders are returned unchanged. The edges of other builders are checked, which
    synchronizes a GPU.

    Args:
        edge_index: The return value of the builder.
        builder: The builder.
        x_src: Features of the sources, `(M, C)`.
        x_dst: Features of the targets, `(N, C)`.

    Shapes: edges `(2, E)` to edges `(2, E)`.

    Returns:
        `edge_index (2, E)`, int64, in range and sorted by target.

    Raises:
        TypeError: If the return value is not a dense tensor of int64 or int32.
        ValueError: If its shape is not `(2, E)`, or it is on another device than the nodes.
        IndexError: If an index is out of range.

    Example:
        >>> x = torch.rand(2, 8); sound_edges(torch.tensor([[0, 1], [1, 0]]), nn.Identity(), x, x).tolist()
        [[1, 0], [0, 1]]
    """
    return sound_graph(edge_index, builder, x_src, x_dst)[0]


def sound_graph(
    found: Edges,
    builder: nn.Module,
    x_src: Tensor,
    x_dst: Tensor,
    *,
    layouts: tuple[BatchLayout, BatchLayout] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Check the result of a graph builder as `sound_edges` does, and sort edge attributes together with their edges.

    Args:
        found: The return value of the builder, which is `edge_index`, or a pair of `edge_index` and `edge_attr`.
        builder: The builder.
        x_src: Features of the sources, `(M, C)`.
        x_dst: Features of the targets, `(N, C)`.
        layouts: Layouts of the targets and of the sources. By default there is no check that the source and the target
            of each edge are in the same image.

    Shapes: edges `(2, E)` and attributes `(E, D)` or `(E,)` to the same shapes.

    Returns:
        The edges `(2, E)`, int64, in range and sorted by target, and their attributes `(E, D)` or `(E,)`, or `None`
        without attributes.

    Raises:
        TypeError: As for `sound_edges`, and if the attributes are not a dense tensor.
        ValueError: As for `sound_edges`, and if there is not one row of attributes for each edge, or if an edge
            connects two images.
        IndexError: As for `sound_edges`.

    Example:
        >>> x = torch.rand(2, 8); edges = torch.tensor([[0, 1], [1, 0]])
        >>> [part.tolist() for part in sound_graph((edges, torch.tensor([5.0, 7.0])), nn.Identity(), x, x)]
        [[[1, 0], [0, 1]], [7.0, 5.0]]
    """
    edge_index, edge_attr = split_edges(found)
    if is_own(builder):
        return edge_index, edge_attr
    who = f"The graph builder {builder_name(builder)}"
    edge_index = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
    edge_index = checked_edges(edge_index, x_dst.device, who)
    if edge_attr is not None:
        _check_attr(edge_attr, edge_index, who)
    check_range(edge_index, x_src.size(0), x_dst.size(0), who)
    if torch.compiler.is_compiling() or is_symbolic(edge_index) or not edge_index.size(1):
        return edge_index, edge_attr
    target = edge_index[1]
    is_sorted = (target[1:] >= target[:-1]).all()
    if layouts is not None and layouts[0].num_graphs > 1:
        # One transfer of both answers synchronizes a GPU once.
        answers = torch.stack([is_sorted, crossing_edges(edge_index, *layouts).any()])
        is_sorted, crosses = answers.tolist()
        if crosses:
            raise refuse_crossing(edge_index, *layouts, who)
    if is_sorted:
        return edge_index, edge_attr
    order = target.argsort(stable=True)
    return edge_index[:, order], None if edge_attr is None else edge_attr[order]


def _check_attr(edge_attr: Any, edge_index: Tensor, who: str) -> None:
    if not isinstance(edge_attr, Tensor) or edge_attr.layout != torch.strided:
        got = type(edge_attr).__name__ if not isinstance(edge_attr, Tensor) else edge_attr.layout
        raise TypeError(f"{who} must return edge_attr as a dense tensor (E, D), got {got}.")
    if edge_attr.dim() < 1 or edge_attr.size(0) != edge_index.size(1) or edge_attr.device != edge_index.device:
        raise ValueError(
            f"{who} must return one row of edge_attr for each edge on {edge_index.device}, got "
            f"{tuple(edge_attr.shape)} on {edge_attr.device} for {edge_index.size(1)} edges."
        )


def is_own(builder: object) -> bool:
    """True if a builder belongs to this library and has no forward hook.

    Args:
        builder: The builder.

    Example:
        >>> is_own(DilatedKNN(3)), is_own(nn.Identity())
        (True, False)
    """
    if getattr(builder, "_forward_hooks", None):  # a hook may return other edges
        return False
    return is_own(builder.builder) if type(builder) in (Reused, LookaheadGraph) else type(builder) in _OWN  # type: ignore[attr-defined]


def is_by_distance(builder: object) -> bool:
    """True if a builder of this library sorts the sources of each target by the distance of their features.

    A forward hook does not matter; the edges of subclasses and of other builders may have any order.

    Example:
        >>> is_by_distance(DilatedKNN(3)), is_by_distance(GridGraph())
        (True, False)
    """
    if type(builder) in (Reused, LookaheadGraph):
        return is_by_distance(builder.builder)  # type: ignore[attr-defined]
    return type(builder) in (DilatedKNN, WindowGraph)


def builder_name(builder: nn.Module) -> str:
    """Return the name of the class or function of a builder, for messages.

    Args:
        builder: The builder.

    Example:
        >>> builder_name(nn.Identity())
        'Identity'
    """
    inner = builder.builder if isinstance(builder, Reused | LookaheadGraph) else builder
    function = getattr(inner, "function", inner)
    return getattr(function, "__qualname__", type(function).__name__)


def resolve_graph(graph: str | GraphFactory | None, *, knn: GraphFactory = DilatedKNN) -> GraphFactory:
    """Return the factory of a model's graph builders.

    Args:
        graph: A name from `list_graphs()`, a `GraphFactory`, or `None`, which means `"knn"`.
        knn: The factory that `"knn"` refers to: `DilatedKNN` with the options of the model.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `graph` is neither a name nor callable, or is a builder instead of a factory.

    Example:
        >>> resolve_graph("axial")(9, 1)
        AxialGraph(stride=2)
    """
    if graph is None or graph == "knn":
        return knn
    if isinstance(graph, str):
        return resolve_graph(GRAPHS.resolve(graph), knn=knn)
    if isinstance(graph, Reuse | Lookahead):
        return graph.fresh(resolve_graph(graph.factory, knn=knn))
    if isinstance(graph, nn.Module):
        raise TypeError(
            f"graph must be a name or a callable (k, dilation) -> builder, got the builder {graph!r} itself: pass "
            f"{type(graph).__name__}, or a function that creates one, such as lambda k, dilation: ..."
        )
    if not callable(graph):
        raise TypeError(f"graph must be a name or a callable (k, dilation) -> builder, got {graph!r}.")
    if _is_builder(graph):
        name = getattr(graph, "__name__", "")
        name = name if name.isidentifier() else "builder"
        takes = ", ".join(signature(graph).parameters)
        raise TypeError(
            f"graph must be a name or a callable (k, dilation) -> builder, got the builder {name}({takes}) "
            f"itself: write a function that returns it, such as def make_{name}(k, dilation): return {name}, and pass "
            f"make_{name}."
        )
    return graph


def _is_builder(graph: GraphFactory) -> bool:
    """True if a callable takes the four arguments of a builder and not the two of a factory."""
    try:
        takes = signature(graph)
    except (TypeError, ValueError):  # a compiled function may have none
        return False
    return next(iter(takes.parameters), "k") != "k" and not _binds(takes, 2) and _binds(takes, 4)


def is_graph_factory(graph: Builder | GraphFactory) -> bool:
    """True if a callable takes the two arguments of a factory and not the four of a builder; classes are factories.

    Example:
        >>> is_graph_factory(DilatedKNN), is_graph_factory(lambda x, layout, x_src, layout_src: None)
        (True, False)
    """
    try:
        takes = signature(graph)
    except (TypeError, ValueError):  # a compiled function may have none
        return isinstance(graph, type)
    return isinstance(graph, type) or (_binds(takes, 2) and not _binds(takes, 4))


def _binds(takes: Signature, count: int) -> bool:
    try:
        takes.bind(*range(count))
    except TypeError:
        return False
    return True
