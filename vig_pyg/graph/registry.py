"""The registry of graph builders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vig_pyg._registry import Registry
from vig_pyg.graph.contract import Builder, GraphFactory

Factory = TypeVar("Factory", bound=Callable[[int, int], Builder])

#: The factories of all registered graph builders, by name.
GRAPHS: Registry[GraphFactory] = Registry(
    "graph",
    advice=", or pass a callable (k, dilation) -> builder (on the command line an import path such as my_graphs:Ring)",
)


def register_graph(name: str) -> Callable[[Factory], Factory]:
    """Register a factory of graph builders under a name; a decorator for a class or function `(k, dilation)`.

    The name is then valid for `graph=`, `--graph` and `config.json`, and `list_graphs` includes it.

    Args:
        name: The name, without spaces.

    Returns:
        A decorator that returns the factory unchanged.

    Raises:
        ValueError: If another factory is registered under this name.
        TypeError: If the decorated object is not callable.

    Example:
        >>> from vig_pyg.graph import GridGraph
        >>> @register_graph("eight_cells")
        ... def eight_cells(k, dilation):
        ...     return GridGraph()
        >>> list_graphs()[-1]
        'eight_cells'
        >>> GRAPHS.remove("eight_cells")  # undo the example
    """
    return GRAPHS.register(name)


def list_graphs() -> list[str]:
    """List the registered graph builders: the valid names for `graph=`.

    Example:
        >>> list_graphs()[:2]
        ['knn', 'window']
    """
    return GRAPHS.names()
