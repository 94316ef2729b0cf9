"""Names of a package that are imported when they are first used, so that importing the package is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def imports_when_used(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, which imports a name, or a module of the package, when it is first used.

    Type checkers find the same names in a block under `TYPE_CHECKING`; a test compares the two.

    Args:
        package: Name of the package.
        modules: The public names of each module. No name may be that of a module of the package, because importing the
            module would hide it.

    Example:
        >>> imports_when_used("json", {"json.decoder": ["JSONDecoder"]})("JSONDecoder").__name__
        'JSONDecoder'
    """
    places = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name in places:
            value = getattr(import_module(places[name]), name)
            setattr(sys.modules[package], name, value)  # it is not looked up here again
            return value
        if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
