"""Import of the user's own operators, graphs, networks and image sources from paths in a command or a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vig_pyg._registry import Registry


def import_own(values: Mapping[str, Any]) -> None:
    """Import objects that `options.conv`, `options.graph`, `model` and `data` name by a path such as `my_ops:MyConv`.

    The value of `options.graph` may be a list with one graph for each stage.

    Modules in the current folder are also found. Call this function only with values that the user wrote, because an
    untrusted file of a run or model must not cause an import.

    Args:
        values: Values from the command line or from a configuration file of the user.

    Raises:
        ImportError: If the module cannot be imported.
        ValueError: If the module does not contain the name.
        TypeError: If the object is not an operator, a graph, a model configuration or an image source.
    """
    from vig_pyg._registry import is_import_path

    options = values.get("options")
    named = {key: options.get(key) for key in ("conv", "graph")} if isinstance(options, Mapping) else {}
    named |= {key: values[f"options.{key}"] for key in ("conv", "graph") if f"options.{key}" in values}
    named |= {key: values.get(key) for key in ("model", "data")}
    places = [(kind, path) for kind, value in named.items() for path in (value if isinstance(value, list) else [value])]
    for kind, path in places:
        if isinstance(path, str) and is_import_path(path) and not os.path.lexists(path):
            # Python does not search the current folder for an installed command.
            if (here := os.getcwd()) not in sys.path:
                sys.path.insert(0, here)
            _registry(kind).import_name(path)


def _registry(kind: str) -> Registry[Any]:
    """Return the registry for a kind of objects; that of image sources needs the extra `train`."""
    if kind == "data":
        from vig_pyg.classification.sources import SOURCES

        return SOURCES
    from vig_pyg.config import MODELS
    from vig_pyg.conv import CONVS
    from vig_pyg.graph import GRAPHS

    registries: dict[str, Registry[Any]] = {"conv": CONVS, "graph": GRAPHS, "model": MODELS}
    return registries[kind]
