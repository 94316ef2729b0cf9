"""Import of the user's own operators, graphs, networks and image sources from paths in a command or a file."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.text import terminal_text

if TYPE_CHECKING:
    from vig_pyg._registry import Registry


def import_named(where: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Import the code that a configuration file of the user and the command line name.

    Args:
        where: Name of the file, which is told with the code that it names.
        given: Values of the command line.
    """
    import_own(given)
    options = values.get("options")
    kept = {name: value for name, value in values.items() if name not in given}
    if isinstance(options, Mapping):
        kept["options"] = {name: value for name, value in options.items() if f"options.{name}" not in given}
    import_own(kept, where=where)


def import_own(values: Mapping[str, Any], *, where: str = "") -> None:
    """Import objects that `options.conv`, `options.graph`, `model` and `data` name by a path such as `my_ops:MyConv`.

    The value of `options.graph` may be a list with one graph for each stage.

    Modules in the current folder are also found. Call this function only with values that the user wrote, because an
    untrusted file of a run or model must not cause an import.

    Args:
        values: Values from the command line or from a configuration file of the user.
        where: Name of the file; it is printed before the import, because its code may be that of others.

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
            registry = _registry(kind)
            if where and path not in registry and is_first():
                print(f"vig-pyg: {terminal_text(where)} names the code {path}: importing it{_place(path)}",
                      file=sys.stderr, flush=True)  # fmt: skip
            registry.import_name(path)


def refuse_unnamed_code(where: str | Path, key: str, own: Any, given: Mapping[str, Any]) -> None:
    """Raise an error for code that a folder names and the user does not, because it may be that of others.

    Args:
        where: The file or the folder.
        key: `"conv"` or `"graph"`.
        own: Its value in the folder; of several graphs, a list.
        given: Values of the user, where an option is `options.NAME`.

    Raises:
        ValueError: If the user does not name the code.
    """
    from vig_pyg._registry import is_import_path

    code = [one for one in each(own) if isinstance(one, str)]
    if any(map(is_import_path, code)) and f"options.{key}" not in given:
        shown = f"[{', '.join(code)}]" if isinstance(own, list | tuple) else own
        raise ValueError(f"{where} names the code {shown}: pass --{key} {shlex.quote(str(shown))} too if you trust it.")


def refuse_network_of_python(folder: Path, options: Any) -> None:
    """Raise an error for a run that was started in Python with code of its own, which its values do not name.

    The command would continue it with another network.

    Args:
        options: The options of the network in its values.

    Raises:
        ValueError: If `config.json` names code for the operator or the graph, and the options do not.
    """
    from vig_pyg._registry import is_import_path
    from vig_pyg.artifact import CONFIG, read_config

    try:
        entry = read_config(folder / CONFIG).get("model")
    except (OSError, ValueError):  # it is not needed before the network is there
        return
    entry = entry.get("backbone", entry) if isinstance(entry, dict) else {}
    for key in ("conv", "graph"):
        code = entry.get(key)
        named = options.get(key) if isinstance(options, Mapping) else None
        if named is None and any(isinstance(one, str) and is_import_path(one) for one in each(code)):
            raise ValueError(
                f"{folder} was started in Python, with {key}={code}, which its values do not name: continue it there, "
                f"with vig_pyg.engine.fit(model, data, config, {str(folder)!r}, resume=True)."
            )


def each(value: Any) -> list[Any]:
    """Return the items of a list, or any other value in a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def is_first() -> bool:
    """True in the first process of a run, which speaks for all; contradictory variables are an error later."""
    from vig_pyg.engine.processes import processes

    try:
        return processes().first
    except ValueError:
        return True


def _place(path: str) -> str:
    """Return where the module of an import path is, as the rest of a sentence, without importing it."""
    try:
        found = find_spec(path.partition(":")[0].partition(".")[0])  # of a submodule, this would import its package
    except ValueError:  # a module that is no file, such as the __main__ of a command
        return ""
    if found is None:
        return ""
    place = found.origin or next(iter(found.submodule_search_locations or []), "")
    return f" from {terminal_text(place)}" if place else ""


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
