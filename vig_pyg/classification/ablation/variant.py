"""The variants of an ablation: networks that differ in one or a few options."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vig_pyg._registry import Registry
from vig_pyg.builders import create_model
from vig_pyg.config import variant_config
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS, each_graph, map_graphs
from vig_pyg.models import VisionGNN


@dataclass(frozen=True)
class Variant:
    """One row of the table of an ablation.

    Args:
        name: Short unique name.
        about: What is different, in a few words.
        make: Function from the name and the options of a model to the network.
        code: Fingerprint of the user's code in the variant, or `""`. Runs with other code raise an error.

    Example:
        >>> Variant("mr", "Max-Relative", lambda model, options: create_model(model, **options)).file_name
        'mr'
    """

    name: str
    about: str
    make: Callable[[str, dict[str, Any]], VisionGNN[Any]]
    code: str = ""

    @property
    def file_name(self) -> str:
        """The name, reduced to characters that every file system accepts, but still unique."""
        if re.fullmatch(r"[a-z0-9_+-]{1,80}", self.name):
            return self.name
        plain = re.sub(r"[^A-Za-z0-9_+-]+", "-", self.name)[:80].lower().strip("-")
        return f"{plain}.{hashlib.sha256(self.name.encode(errors='backslashreplace')).hexdigest()[:8]}"


def changed(name: str, about: str, *, code: str = "", **overrides: Any) -> Variant:
    """Return a variant that differs in options of the model.

    Args:
        name: Short unique name.
        about: What is different, in a few words.
        code: Fingerprint of the user's code, see `Variant`.
        overrides: The options.

    Example:
        >>> changed("k-3", "k = 3", k=3).make("vig_micro", {"num_classes": 2}).config.k
        3
    """
    return Variant(name, about, lambda model, options: create_model(model, **{**options, **overrides}), code)


def crossed(model: str, options: Mapping[str, Any], convs: Sequence[str], graphs: Sequence[Any]) -> list[Variant]:
    """Return a variant for each pair of an operator and a graph; the first is the baseline.

    A single operator or graph is compared with that of the model.

    Args:
        model: Name of the model.
        options: Its options; `conv` and `graph` in them replace those of the model.
        convs: Names of operators, or import paths that are registered (`vig-pyg` imports them).
        graphs: Names of graphs, import paths, or lists with a graph for each stage.

    Raises:
        ValueError: If a name is unknown.

    Example:
        >>> [variant.name for variant in crossed("vig_micro", {}, ["gin"], [])]
        ['mr', 'gin']
        >>> [variant.name for variant in crossed("vig_micro", {}, ["mr", "gin"], ["knn", "grid"])]
        ['mr, knn', 'mr, grid', 'gin, knn', 'gin, grid']
    """
    base = variant_config(model)
    lists = {}
    for key, registry, given in (("conv", CONVS, convs), ("graph", GRAPHS, graphs)):
        own = options.get(key, getattr(base, key)) or "knn"  # a graph of None means "knn"
        names = list(dict.fromkeys(_name(registry, name) for name in given))
        single = len(names) == 1 and len(convs) + len(graphs) == 1
        lists[key] = [own, *names] if single and names != [own] else names or [own]
    varied = [key for key in lists if len(lists[key]) > 1] or ["conv"]
    return [
        changed(
            ", ".join(_shown({"conv": conv, "graph": graph}[key]) for key in varied),
            _about(conv, graph, varied),
            code=_code(CONVS, conv) + _code(GRAPHS, graph),
            conv=conv,
            graph=graph,
        )
        for conv in lists["conv"]
        for graph in lists["graph"]
    ]


def _name(registry: Registry[Any], name: Any) -> Any:
    """Return the name under which an operator or a graph is registered, or raise an error for an unknown one."""
    if not isinstance(name, str):  # a list has one graph for each stage
        return map_graphs(lambda one: _name(registry, one), name)
    return registry.name_of(registry.resolve(name)) or name


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return value if isinstance(value, str) else repr(value)


def _about(conv: Any, graph: Any, varied: Sequence[str]) -> str:
    parts = {"conv": f"operator {_shown(conv)}", "graph": f"graph {_shown(graph)}"}
    return ", ".join(parts[key] for key in varied)


def _code(registry: Registry[Any], name: Any) -> str:
    """Return a fingerprint of the file with the user's code, so that runs of two versions are never mixed."""
    if isinstance(name, list | tuple):
        return "".join(_code(registry, one) for one in each_graph(name))
    entry = registry[name] if isinstance(name, str) else name
    module = getattr(getattr(entry, "func", entry), "__module__", "") or ""
    path = getattr(sys.modules.get(module), "__file__", None)
    if module.startswith("vig_pyg.") or path is None or not Path(path).is_file():
        return ""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
