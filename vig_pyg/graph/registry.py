"""Graph builders by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vig_pyg._registry import Registry
from vig_pyg.graph.contract import Builder, GraphFactory

Factory = TypeVar("Factory", bound=Callable[[int, int], Builder])

#: The factories of all builders that have a name.
GRAPHS: Registry[GraphFactory] = Registry(
    "graph",
    advice=", or pass a callable (k, dilation) -> builder (on the command line an import path such as my_graphs:Ring)",
)


def register_graph(name: str) -> Callable[[Factory], Factory]:
    """Give a factory of graph builders a name: for `graph=`, the command line, `config.json`, and the lists.

    Args:
        name: Its name, without spaces.

    Raises:
        ValueError: If another factory has the name.
        TypeError: If what is decorated is not callable.

    Example:
        >>> from vig_pyg.graph import GridGraph
        >>> @register_graph("eight_cells")
        ... def eight_cells(k, dilation):
        ...     return GridGraph()
        >>> list_graphs()[-1]
        'eight_cells'
        >>> GRAPHS.remove("eight_cells")  # this was an example
    """
    return GRAPHS.register(name)


def list_graphs() -> list[str]:
    """Names for `graph=`.

    Example:
        >>> list_graphs()[:3]
        ['knn', 'window', 'axial']
    """
    return GRAPHS.names()
