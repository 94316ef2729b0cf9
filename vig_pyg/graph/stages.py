"""A graph for each stage of a model: the forms of the option `graph=`, and the factories to which they refer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vig_pyg.graph.contract import GraphFactory
from vig_pyg.graph.dilated_knn import DilatedKNN
from vig_pyg.graph.lookahead import Lookahead
from vig_pyg.graph.registry import GRAPHS
from vig_pyg.graph.resolver import resolve_graph

#: The graph of one stage: a registered name, a factory, or `None`, which means `"knn"`.
StageGraph = str | GraphFactory | None
#: The value of `graph=`: one graph for all stages, or a sequence with one for each.
Graphs = StageGraph | Sequence[StageGraph]


def has_stages(graph: Any) -> bool:
    """True if the value of `graph=` names a graph for each stage.

    Args:
        graph: The value.

    Example:
        >>> has_stages(["axial", "knn"]), has_stages("knn")
        (True, False)
    """
    return isinstance(graph, list | tuple)


def each_graph(graph: Graphs) -> tuple[StageGraph, ...]:
    """Return the graphs that the value of `graph=` names: all of a sequence, or the only one.

    Args:
        graph: The value.

    Example:
        >>> each_graph("knn"), each_graph(["axial", "knn"])
        (('knn',), ('axial', 'knn'))
    """
    return tuple(graph) if isinstance(graph, list | tuple) else (graph,)  # type: ignore[return-value]


def map_graphs(function: Callable[[Any], Any], graph: Graphs) -> Any:
    """Apply a function to each graph of the value of `graph=`; the result has the form of the value.

    Args:
        function: The function.
        graph: The value.

    Returns:
        A tuple for a sequence, otherwise a single result.

    Example:
        >>> map_graphs(str.upper, ["axial", "knn"]), map_graphs(str.upper, "knn")
        (('AXIAL', 'KNN'), 'KNN')
    """
    found = tuple(function(one) for one in each_graph(graph))
    return found if has_stages(graph) else found[0]


def searches(graph: StageGraph) -> bool:
    """True if the options of the model's neighbor search have an effect on a graph.

    Args:
        graph: The graph of a stage.

    Example:
        >>> searches(None), searches("lookahead"), searches("axial")
        (True, True, False)
    """
    if isinstance(graph, str) and graph in GRAPHS:
        graph = graph if graph == "knn" else GRAPHS[graph]
    return graph in (None, "knn") or (isinstance(graph, Lookahead) and searches(graph.factory))


def stage_graphs(graph: Graphs, num_stages: int) -> tuple[StageGraph, ...]:
    """Return the graph of each stage.

    Args:
        graph: The value of `graph=`.
        num_stages: Number of stages, at least 1.

    Raises:
        ValueError: If a sequence does not have one entry for each stage.

    Example:
        >>> stage_graphs("knn", 2)
        ('knn', 'knn')
    """
    graphs = each_graph(graph)
    if has_stages(graph) and len(graphs) != num_stages:
        stages = "1 stage" if num_stages == 1 else f"{num_stages} stages"
        raise ValueError(
            f"graph has {len(graphs)} entries, {graphs}, but the model has {stages}: pass one entry for each stage, or "
            "a single graph for all."
        )
    return graphs if has_stages(graph) else graphs * num_stages


def resolve_graphs(graph: Graphs, stage_depths: Sequence[int], *, knn: GraphFactory = DilatedKNN) -> list[GraphFactory]:
    """Return the factory of the graph builder of each Grapher, in order.

    Args:
        graph: The value of `graph=`. A single `Reuse` counts the Graphers of the whole model; a `Reuse` in a sequence
            counts those of its stage.
        stage_depths: Number of Graphers of each stage.
        knn: The factory that `"knn"` refers to (see `resolve_graph`).

    Raises:
        ValueError: As for `stage_graphs` and `resolve_graph`.
        TypeError: As for `resolve_graph`.

    Example:
        >>> [make(9, 1) for make in resolve_graphs(["axial", "grid"], (2, 1))]
        [AxialGraph(stride=2), AxialGraph(stride=2), GridGraph()]
    """
    graphs = stage_graphs(graph, len(stage_depths))
    if has_stages(graph):
        made = [resolve_graph(one, knn=knn) for one in graphs]
    else:
        made = [resolve_graph(graphs[0], knn=knn)] * len(graphs)
    return [factory for factory, depth in zip(made, stage_depths, strict=True) for _ in range(depth)]


def refuse_search_options(graphs: Sequence[StageGraph], options: Mapping[str, tuple[object, object]]) -> None:
    """Raise `ValueError` if an option of `DilatedKNN` is set for other builders only, because they would ignore it.

    Args:
        graphs: The graph of each stage.
        options: The value and the default of each option of a model.

    Raises:
        ValueError: If no stage searches, and the value of an option of `DilatedKNN` is not its default.

    Example:
        >>> refuse_search_options(["axial"], {"epsilon": (0.2, 0.2)})
    """
    for name in ("stochastic", "epsilon", "knn_engine", "knn_precision", "position"):
        value, default = options.get(name, (None, None))
        if value != default and not any(map(searches, graphs)):
            raise ValueError(
                f"{name}={value!r} is an option of DilatedKNN and has no effect with graph=...: "
                f"leave one of them out, or pass graph=functools.partial(DilatedKNN, ...) with all its options."
            )
