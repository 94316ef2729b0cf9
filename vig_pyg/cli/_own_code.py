"""Operators, graphs, networks and sources of one's own: import paths that a user writes in a command or in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vig_pyg._registry import Registry


def import_own(values: Mapping[str, Any]) -> None:
    """Import what `options.conv`, `options.graph`, `model` and `data` name by a path such as `my_ops:MyConv`.

    Modules of the current folder are found too.

    Only for what the user of the command wrote: the file of a stranger's run or model must not lead to an import.

    Args:
        values: Values of the command line or of a file of the user's own.

    Raises:
        ImportError: If the module cannot be imported.
        ValueError: If the module has no such name.
        TypeError: If it is no operator, graph, configuration of a network, or source.
    """
    from vig_pyg._registry import is_import_path

    options = values.get("options")
    named = {key: options.get(key) for key in ("conv", "graph")} if isinstance(options, Mapping) else {}
    named |= {key: values[f"options.{key}"] for key in ("conv", "graph") if f"options.{key}" in values}
    named |= {key: values.get(key) for key in ("model", "data")}
    for kind, path in named.items():
        if isinstance(path, str) and is_import_path(path) and not os.path.lexists(path):
            if (here := os.getcwd()) not in sys.path:  # an installed command looks beside itself, not where it is run
                sys.path.insert(0, here)
            _registry(kind).import_name(path)


def _registry(kind: str) -> Registry[Any]:
    """Return the registry of a kind; that of the sources needs the extra `train`."""
    if kind == "data":
        from vig_pyg.classification.sources import SOURCES

        return SOURCES
    from vig_pyg.config import MODELS
    from vig_pyg.conv import CONVS
    from vig_pyg.graph import GRAPHS

    registries: dict[str, Registry[Any]] = {"conv": CONVS, "graph": GRAPHS, "model": MODELS}
    return registries[kind]
