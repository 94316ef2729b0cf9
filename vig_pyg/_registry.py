"""Names of things of one kind, such as operators: a decorator adds to them, lists and error messages read them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
V = TypeVar("V")

#: A place to import from: dotted module, colon, name.
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class Registry(Mapping[str, T], Generic[T]):
    """Things by name, in the order in which they were registered.

    Args:
        kind: What they are called in messages, such as `"conv"`.
        advice: What a user can do beside choosing a name, for the message about an unknown one.
        check: Raises `TypeError` at a value that is none of them; every callable is one by default.

    Example:
        >>> shapes = Registry("shape", advice="or draw it")
        >>> shapes.register("ring")(lambda: "O")()
        'O'
        >>> list(shapes)
        ['ring']
    """

    def __init__(self, kind: str, *, advice: str, check: Callable[[Any], None] | None = None) -> None:
        self.kind = kind
        self.advice = advice
        self._check = check or self._must_be_callable
        self._entries: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._entries and is_import_path(name):
            # a path to what has another name: found where its module is imported already, and never by an import
            module, _, attribute = name.partition(":")
            value = getattr(sys.modules.get(module), attribute, None)
            return self._entries[self.name_of(value) or name]
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, name: str) -> Callable[[V], V]:
        """A decorator that adds what it decorates under a name, and returns it unchanged.

        Raises:
            ValueError: If the name is empty, has spaces, or belongs to something else.
            TypeError: If the value is of another kind, or the name is missing: `@register` in place of
                `@register("name")`.
        """
        if not isinstance(name, str):
            raise TypeError(f'A {self.kind} is registered by name, got {name!r}: write @register_{self.kind}("name").')
        if not name or name != "".join(name.split()):
            raise ValueError(f"The name of a {self.kind} must not be empty or have spaces, got {name!r}.")

        def add(value: V) -> V:
            self._check(value)
            there = self._entries.get(name)
            if there is not None and there is not value and _place(there) != _place(value):
                raise ValueError(f"The {self.kind} {name!r} is registered already, for {there!r}: choose another name.")
            self._entries[name] = cast(T, value)  # the check has seen it
            return value

        return add

    def resolve(self, name: str) -> T:
        """What has this name.

        Raises:
            ValueError: If there is no such name, with all that there are.
        """
        if name not in self:
            raise ValueError(f"Unknown {self.kind} {name!r}: choose one of {', '.join(self._entries)}{self.advice}.")
        return self[name]

    def remove(self, name: str) -> None:
        """Forget a name, as tests and notebooks do that register something for a while."""
        del self._entries[name]

    def name_of(self, value: object) -> str | None:
        """The first name under which a thing is registered; `None` if it is not."""
        return next((name for name, entry in self._entries.items() if entry is value), None)

    def names(self, pattern: str | None = None) -> list[str]:
        """All names, or those that match a pattern such as `"pvig*"`."""
        return [name for name in self._entries if pattern is None or fnmatchcase(name, pattern)]

    def import_name(self, text: str) -> str:
        """The name of what an import path such as `"my_ops:MyConv"` leads to; any other text is returned as it is.

        The module is imported, so this is for text that a user wrote, never for text out of a file of weights or a
        folder of a model. What has no name yet is registered under the path itself.

        Raises:
            ImportError: If the module cannot be imported.
            ValueError: If the module has no such name.
            TypeError: If the value is of another kind.
        """
        if text in self or not is_import_path(text):
            return text
        module_name, _, attribute = text.partition(":")
        try:
            module = import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not module_name.startswith(error.name):
                raise  # the module is there, and one that it imports is not
            raise ImportError(
                f"{self.kind}={text}: there is no module {module_name!r}, neither in this folder nor installed."
            ) from error
        if not hasattr(module, attribute):
            raise ValueError(f"{self.kind}={text}: the module {module_name} has no {attribute!r}.")
        value = getattr(module, attribute)
        return self.name_of(value) or self._under_path(text, value)

    def _under_path(self, text: str, value: Any) -> str:
        self.register(text)(value)
        return text

    def _must_be_callable(self, value: Any) -> None:
        if not callable(value):
            raise TypeError(f"A {self.kind} must be callable, got {value!r}.")


def is_import_path(text: str) -> bool:
    """Whether a text reads `module:name`.

    Example:
        >>> is_import_path("my_ops:MyConv"), is_import_path("pvig_small")
        (True, False)
    """
    return _PATH.fullmatch(text) is not None


def import_files(package: str, path: Iterable[str]) -> None:
    """Import every public file of a package, so that what it registers is there: a new file needs no other change.

    Args:
        package: Name of the package.
        path: Its `__path__`.
    """
    for found in iter_modules(path):
        if not found.name.startswith("_"):
            import_module(f"{package}.{found.name}")


def _place(value: object) -> object:
    """Where a class or function is defined: a module that is imported anew defines the same thing again."""
    name = getattr(value, "__qualname__", None)
    return (getattr(value, "__module__", None), name) if name and "<" not in name else value
