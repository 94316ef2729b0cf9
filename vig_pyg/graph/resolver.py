"""Resolution of `graph=` into a factory, and the check of edges that a user's builder returns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vig_pyg.graph.axial import AxialGraph
from vig_pyg.graph.complete import CompleteGraph
from vig_pyg.graph.contract import GraphFactory
from vig_pyg.graph.dilated_knn import DilatedKNN
from vig_pyg.graph.grid import GridGraph
from vig_pyg.graph.logarithmic import LogGraph
from vig_pyg.graph.random_graph import RandomGraph
from vig_pyg.graph.registry import GRAPHS
from vig_pyg.graph.reuse import Reuse, Reused
from vig_pyg.graph.window import WindowGraph
from vig_pyg.ops import check_range, checked_edges, is_symbolic

#: Builders whose edges are valid by construction. Subclasses are checked, because they may override `forward`.
_OWN = {DilatedKNN, WindowGraph, AxialGraph, LogGraph, GridGraph, CompleteGraph, RandomGraph}


def sound_edges(edge_index: Tensor, builder: nn.Module, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """Check the edges that a graph builder returned, and sort them by target.

    The edges of this library's builders are returned unchanged. The edges of other builders are checked, which
    synchronizes a GPU.

    Args:
        edge_index: The return value of the builder.
        builder: The builder.
        x_src: Features of the sources, `(M, C)`.
        x_dst: Features of the targets, `(N, C)`.

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
    if is_own(builder):
        return edge_index
    who = f"The graph builder {_name(builder)}"
    edge_index = checked_edges(edge_index, x_dst.device, who)
    check_range(edge_index, x_src.size(0), x_dst.size(0), who)
    target = edge_index[1]
    few = edge_index.size(1) < 2  # already sorted, and known without synchronizing a GPU
    if torch.compiler.is_compiling() or is_symbolic(edge_index) or few or (target[1:] >= target[:-1]).all():
        return edge_index
    return edge_index[:, target.argsort(stable=True)]


def is_own(builder: object) -> bool:
    """True if a builder belongs to this library and has no forward hook.

    Example:
        >>> is_own(DilatedKNN(3)), is_own(nn.Identity())
        (True, False)
    """
    if getattr(builder, "_forward_hooks", None):  # a hook may return other edges
        return False
    return is_own(builder.builder) if type(builder) is Reused else type(builder) in _OWN


def _name(builder: nn.Module) -> str:
    inner = builder.builder if isinstance(builder, Reused) else builder
    function = getattr(inner, "function", inner)
    return getattr(function, "__qualname__", type(function).__name__)


def resolve_graph(graph: str | GraphFactory | None, *, knn: GraphFactory = DilatedKNN) -> GraphFactory:
    """Return the factory of a model's graph builders.

    Args:
        graph: A name from `list_graphs()`, a `GraphFactory`, or `None`, which means `"knn"`.
        knn: The factory that `"knn"` refers to: `DilatedKNN` with the options of the model.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `graph` is neither a name nor callable.

    Example:
        >>> resolve_graph("axial")(9, 1)
        AxialGraph(stride=2)
    """
    if graph is None or graph == "knn":
        return knn
    if isinstance(graph, str):
        return GRAPHS.resolve(graph)
    if isinstance(graph, Reuse):
        return graph.fresh()
    if not callable(graph):
        raise TypeError(f"graph must be a name or a callable (k, dilation) -> builder, got {graph!r}.")
    return graph
