"""Names of a package that are imported when they are first used, so that importing the package is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from threading import RLock
from types import ModuleType
from typing import Any

_lock = RLock()
#: Seconds for which a thread waits for the imports of another one.
_PATIENCE = 30.0
#: Names that a package needs to import others when they are used.
_TOOLS = {"TYPE_CHECKING", "imports_when_used", "names_of"}


def imports_when_used(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, which imports a name, or a module of the package, when it is first used.

    Type checkers find the same names in a block under `TYPE_CHECKING`; a test compares the two.

    Args:
        modules: The public names of each module. No name may be that of a module of the package, because importing the
            module would hide it.

    Example:
        >>> imports_when_used("json", {"json.decoder": ["JSONDecoder"]})("JSONDecoder").__name__
        'JSONDecoder'
    """
    places = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name in places:
            value = getattr(_imported(places[name]), name)
            setattr(sys.modules[package], name, value)  # it is not looked up here again
            return value
        if name.isidentifier() and not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return _imported(f"{package}.{name}")
        # with the name and the package, Python suggests a name of `dir`
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules.get(package))

    return get


def _imported(module: str) -> ModuleType:
    """Import a module while no other thread does.

    torch and torchvision import their modules in circles: if two threads begin at different ends, Python stops one of
    them, and then torch cannot be imported any more. A thread that waits for long goes on: if the other one needs a
    module that this thread is importing, neither would ever end.
    """
    locked = _lock.acquire(timeout=_PATIENCE)
    try:
        return import_module(module)
    finally:
        if locked:
            _lock.release()


def names_of(package: Mapping[str, Any]) -> list[str]:
    """Return what `dir` shows of a package: its names and modules, also those that are not imported yet.

    Example:
        >>> names_of({"__name__": "mine", "__path__": [], "__all__": ["fit"], "TYPE_CHECKING": False})
        ['__all__', '__name__', '__path__', 'fit']
    """
    modules = {module.name for module in iter_modules(package["__path__"]) if not module.name.startswith("_")}
    return sorted({*package, *package["__all__"], *modules} - _TOOLS)
