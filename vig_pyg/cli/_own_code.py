"""Operators, graphs and the like of one's own: import paths that a user writes on the command line or in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any


def import_own(values: Mapping[str, Any]) -> None:
    """Import what `options.conv` and `options.graph` name by a path such as `my_ops:MyConv`, from this folder too.

    Only for what the user of the command wrote: the file of a stranger's run or model must not lead to an import.

    Args:
        values: Values of the command line or of a file of the user's own.

    Raises:
        ImportError: If the module cannot be imported.
        ValueError: If the module has no such name.
        TypeError: If it is no operator or no graph.
    """
    from vig_pyg._registry import is_import_path
    from vig_pyg.conv import CONVS
    from vig_pyg.graph import GRAPHS

    options = values.get("options")
    for name, registry in (("conv", CONVS), ("graph", GRAPHS)):
        path = values.get(f"options.{name}", options.get(name) if isinstance(options, Mapping) else None)
        if isinstance(path, str) and is_import_path(path):
            if (here := os.getcwd()) not in sys.path:  # an installed command looks beside itself, not where it is run
                sys.path.insert(0, here)
            registry.import_name(path)
