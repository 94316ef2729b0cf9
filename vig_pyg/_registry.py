"""Registries, which map names to objects of one kind, such as operators."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from os.path import isfile  # false for what cannot be read, where `Path.is_file` raises an error
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Generic, Self, TypeVar, cast

from vig_pyg._io.launcher import as_started
from vig_pyg._io.names import choose, few_names
from vig_pyg._io.suggest import nearest_name

T = TypeVar("T")
V = TypeVar("V")

#: A place to import from: dotted module, colon, name.
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to objects, in the order of registration.

    Args:
        kind: Name of the kind of objects for messages, such as `"conv"`.
        advice: An alternative to choosing a registered name, as text for the message about an unknown name.
        check: Function that raises `TypeError` for an object of another kind. By default every callable is accepted.
        others: Name of a module that registers further objects; it is imported at the first lookup.

    Example:
        >>> shapes = Registry("shape", advice="or draw it")
        >>> shapes.register("ring")(lambda: "O")()
        'O'
        >>> list(shapes)
        ['ring']
    """

    def __init__(self, kind: str, *, advice: str, check: Callable[[Any], None] | None = None, others: str = "") -> None:
        self.kind = kind
        self.advice = advice
        self._check = check or self._must_be_callable
        self._others = others
        self._registered: dict[str, T] = {}

    @property
    def _entries(self) -> dict[str, T]:
        """All objects by name, for lookups."""
        return self.completed()._registered

    def completed(self) -> Self:
        """Import the module that registers further objects if it is not imported yet, and return the registry."""
        if self._others:
            import_module(self._others)  # another thread that imports it now is waited for
        return self

    def __getitem__(self, name: str) -> T:
        if name not in self._entries and is_import_path(name):
            # The object may have another name. It is looked up only in modules that are already imported.
            module, _, attribute = name.partition(":")
            value = getattr(sys.modules.get(module), attribute, None)
            return self._entries[self.name_of(value) or name]
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, name: str) -> Callable[[V], V]:
        """Return a decorator that registers an object under a name, and returns the object unchanged.

        Raises:
            ValueError: If the name is empty, contains spaces, or is registered for another object.
            TypeError: If the object is of another kind, or if the name is missing, as in `@register` instead of
                `@register("name")`.
        """
        if not isinstance(name, str):
            raise TypeError(f'A {self.kind} is registered by name, got {name!r}: write @register_{self.kind}("name").')
        if not name or name != "".join(name.split()):
            raise ValueError(f"The name of a {self.kind} must not be empty or have spaces, got {name!r}.")

        def add(value: V) -> V:
            self._check(value)
            there = self._registered.get(name)
            if there is not None and there is not value and _place(there) != _place(value):
                raise ValueError(f"The {self.kind} {name!r} is registered already, for {there!r}: choose another name.")
            self._registered[name] = cast(T, value)  # `check` has accepted the value
            return value

        return add

    def resolve(self, name: str) -> T:
        """Return the object with this name.

        Raises:
            ValueError: If the name is unknown; the message lists the nearest names.
        """
        if name not in self:
            every = {"model": f"{as_started('vig-pyg models')} lists all"}.get(self.kind, "")
            if path := _meant_path(name):
                known = few_names(name, self._entries, every=every)
                raise ValueError(
                    f"Unknown {self.kind} {name!r}. Write {path}. Otherwise choose one of {known}{self.advice}."
                )
            told = choose(name, self._entries, every=every)
            raise ValueError(f"Unknown {self.kind} {name!r}{told}{self.advice}.{self._registration(name)}")
        return self[name]

    def _registration(self, path: str) -> str:
        """Return the sentence that says how Python registers what an import path names; it is not imported here."""
        if self.kind not in ("conv", "graph") or not is_import_path(path):
            return ""
        module, _, attribute = path.partition(":")
        line = f"import {module}, vig_pyg; vig_pyg.register_{self.kind}({path!r})({module}.{attribute})"
        return f" In Python, register it first: {line}"

    def remove(self, name: str) -> None:
        """Remove a name, for tests and notebooks that register an object temporarily."""
        del self._entries[name]

    def name_of(self, value: object) -> str | None:
        """Return the first name under which an object is registered, or `None`."""
        return next((name for name, entry in self._entries.items() if entry is value), None)

    def names(self, pattern: str | None = None) -> list[str]:
        """Return all names, or those that match a pattern such as `"pvig*"`."""
        return [name for name in self._entries if pattern is None or fnmatchcase(name, pattern)]

    def import_name(self, text: str) -> str:
        """Import an object from a path such as `"my_ops:MyConv"`, and return its name; other text is returned as it is.

        An object that is not registered yet is registered under the path. Because the module is imported, the text
        must come from the user, and never from a weight file or the folder of a model.

        Raises:
            ImportError: If the module cannot be imported.
            ValueError: If the module does not contain the name.
            TypeError: If the object is of another kind.
        """
        if text in self or not is_import_path(text):
            return text
        module_name, _, attribute = text.partition(":")
        if path := _meant_path(text):
            raise ImportError(f"{self.kind}={text}: an import path has no file name; write {path}.")
        try:
            module = import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not module_name.startswith(error.name):
                raise  # the module exists, but another module that it imports does not
            raise ImportError(
                f"{self.kind}={text}: there is no module {module_name!r}, neither in this folder nor installed."
                f"{_other_module(module_name, attribute)}"
            ) from error
        if not hasattr(module, attribute):
            there = [name for name, one in vars(module).items() if name[0] != "_" and not isinstance(one, ModuleType)]
            close = nearest_name(attribute, there)
            hint = f" Did you mean {module_name}:{close}?" if close else ""
            if module_name == "__main__":  # the command itself, unless a script calls it
                hint = f" Write the name of the file that defines it, such as my_ops:{attribute} for my_ops.py."
            raise ValueError(f"{self.kind}={text}: the module {module_name} has no {attribute!r}.{hint}")
        value = getattr(module, attribute)
        name = self.name_of(value) or text
        self.register(name)(value)
        return name

    def _must_be_callable(self, value: Any) -> None:
        if not callable(value):
            raise TypeError(f"A {self.kind} must be callable, got {value!r}.")


def is_import_path(text: str) -> bool:
    """True if a text has the form `module:name`.

    Example:
        >>> is_import_path("my_ops:MyConv"), is_import_path("pvig_small")
        (True, False)
    """
    return _PATH.fullmatch(text) is not None


def _other_module(module: str, attribute: str) -> str:
    """Return the question whether another module of the current folder was meant, or `""`."""
    *packages, last = module.split(".")
    try:
        entries = list(Path(*packages).iterdir())
    except OSError:
        return ""
    there = [one.stem for one in entries if one.suffix == ".py" or isfile(one / "__init__.py")]
    close = nearest_name(last, there)
    return f" Did you mean {'.'.join([*packages, close])}:{attribute}?" if close else ""


def _meant_path(text: str) -> str:
    """Return the import path that a file name with a colon, or a path with dots only, stands for, or `""`."""
    if found := re.fullmatch(r"(?:.*/)?([^/:]+?)\.py[:.](\w+)", text):
        folders = text.rpartition("/")[0].removeprefix(".").strip("/")
        inside = not text.startswith(("/", "~", "..")) and folders
        path = f"{folders.replace('/', '.')}.{found[1]}:{found[2]}" if inside else f"{found[1]}:{found[2]}"
    elif re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", text):
        path = ":".join(text.rsplit(".", 1))
    else:
        return ""
    return path if is_import_path(path) else ""


def import_files(package: str, path: Iterable[str]) -> None:
    """Import every public module of a package, so that a new file is registered without any other change.

    Args:
        path: The `__path__` of the package.
    """
    for found in iter_modules(path):
        if not found.name.startswith("_"):
            import_module(f"{package}.{found.name}")


def _place(value: object) -> object:
    """Return where a class or function is defined; the result stays the same if its module is imported again."""
    name = getattr(value, "__qualname__", None)
    return (getattr(value, "__module__", None), name) if name and "<" not in name else value
