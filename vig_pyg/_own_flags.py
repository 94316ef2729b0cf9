"""Command-line flags that name the user's own operators and graphs, which every command on such a model needs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from vig_pyg._registry import Registry, is_import_path
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS, Lookahead, Reuse, each_graph


def own_flags(options: Mapping[str, Any]) -> list[str]:
    """Return the words of the flags `--conv` and `--graph` for the parts that are not of this library.

    Commands import code only if the user names it, so that the flags of the training must be repeated.

    Example:
        >>> own_flags({"conv": "my_ops:MyConv", "graph": ["knn", "my_graphs:Ring"], "k": 9})
        ['--conv', 'my_ops:MyConv', '--graph', '[knn, my_graphs:Ring]']
        >>> own_flags({"conv": "edge", "graph": None})
        []
    """
    words: list[str] = []
    registries: dict[str, Registry[Any]] = {"conv": CONVS, "graph": GRAPHS}
    for key, registry in registries.items():
        given = options.get(key)
        if isinstance(given, str) and given.startswith("["):  # a list, in the form of the flag
            given = [one.strip(" '\"") for one in given.strip("[] ").split(",")]
        parts = each_graph(given)
        paths = [_path(part, registry) for part in parts]
        if any(paths):
            shown = [path or _name(part, registry) for path, part in zip(paths, parts, strict=True)]
            words += [f"--{key}", f"[{', '.join(shown)}]" if isinstance(given, list | tuple) else shown[0]]
    return words


def _path(part: Any, registry: Registry[Any]) -> str | None:
    """Return the import path of a part, or `None` for a part of this library and for one that cannot be imported."""
    if isinstance(part, str) and is_import_path(part):
        return part
    found = registry.get(part) if isinstance(part, str) else part
    while isinstance(found, Reuse | Lookahead | partial):
        found = found.func if isinstance(found, partial) else found.factory
    name = registry.name_of(found)
    if name is not None and is_import_path(name):
        return name
    module, place = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    path = f"{module}:{place}"
    ours = str(module).partition(".")[0] == __name__.partition(".")[0]
    return path if place and not ours and module != "__main__" and is_import_path(path) else None


def _name(part: Any, registry: Registry[Any]) -> str:
    return part if isinstance(part, str) else registry.name_of(part) or "knn"
