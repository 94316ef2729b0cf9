"""Graphs by name."""

from __future__ import annotations

from vig_pyg.graph.axial import AxialGraph
from vig_pyg.graph.complete import CompleteGraph
from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.dilated_knn import DilatedKNN
from vig_pyg.graph.grid import GridGraph
from vig_pyg.graph.logarithmic import LogGraph
from vig_pyg.graph.random_graph import RandomGraph
from vig_pyg.graph.reuse import Reuse
from vig_pyg.graph.window import WindowGraph


def _axial(k: int, dilation: int) -> Builder:  # noqa: ARG001  (places alone decide, here and below)
    return AxialGraph()


def _log(k: int, dilation: int) -> Builder:  # noqa: ARG001
    return LogGraph()


def _grid(k: int, dilation: int) -> Builder:  # noqa: ARG001
    return GridGraph()


def _complete(k: int, dilation: int) -> Builder:  # noqa: ARG001
    return CompleteGraph()


def _random(k: int, dilation: int) -> Builder:  # noqa: ARG001
    return RandomGraph(k)


GRAPHS: dict[str, GraphFactory] = {
    "knn": DilatedKNN,
    "window": WindowGraph,
    "axial": _axial,
    "log": _log,
    "grid": _grid,
    "complete": _complete,
    "random": _random,
}


def resolve_graph(graph: str | GraphFactory | None, *, knn: GraphFactory = DilatedKNN) -> GraphFactory:
    """The factory of a model's graph builders from its name, or the user's callable.

    Args:
        graph: A name from `GRAPHS`, a `GraphFactory`, or `None` for `"knn"`.
        knn: What `"knn"` stands for: `DilatedKNN` with the options of the model.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor callable.

    Example:
        >>> resolve_graph("axial")(9, 1)
        AxialGraph(stride=2)
    """
    if graph is None or graph == "knn":
        return knn
    if isinstance(graph, str):
        if graph not in GRAPHS:
            raise ValueError(
                f"Unknown graph {graph!r}: choose one of {', '.join(GRAPHS)}, or pass a callable "
                "(k, dilation) -> builder."
            )
        return GRAPHS[graph]
    if isinstance(graph, Reuse):
        return graph.fresh()
    if not callable(graph):
        raise TypeError(f"graph must be a name or a callable (k, dilation) -> builder, got {graph!r}.")
    return graph
