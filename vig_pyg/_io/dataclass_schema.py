"""Checks of entries, derived from the types of a dataclass with bounds such as `Annotated[int, whole(1, 9)]`."""

from __future__ import annotations

import types
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vig_pyg._io.schema import Check, Scalar, choice, either, flag, mapping, optional, text

#: Largest number of characters of a text without its own bounds, which is the length of the longest path in Linux.
TEXT_LIMIT = 4_096


@cache
def checks_of(cls: type) -> dict[str, Check]:
    """Return a check for each field of a dataclass.

    Args:
        cls: The dataclass. Numbers need bounds such as `Annotated[float, number(0, 1)]`. For bools, `Literal`s, text,
            optional values and dataclasses the type is sufficient.

    Raises:
        TypeError: If a field's type has no check.

    Example:
        >>> from vig_pyg.preprocess import Preprocessing
        >>> checks_of(Preprocessing)
        Traceback (most recent call last):
        TypeError: Preprocessing.image_size: write the bounds of <class 'int'> beside it, as Annotated[..., check].
    """
    hints = get_type_hints(cls, include_extras=True)
    return {name: _check_of(hint, f"{cls.__name__}.{name}") for name, hint in hints.items()}


def check_fields(values: Any) -> None:
    """Raise `ValueError` with the name of the first field of a dataclass that is out of range."""
    cls: type = type(values)
    for name, check in checks_of(cls).items():
        value = getattr(values, name)
        if not is_dataclass(value):  # a nested dataclass has checked itself
            check(value, name)


def _check_of(hint: Any, where: str) -> Check:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        check: Check = parts[1]
        return check
    if origin is Literal:
        return choice(parts) if len(parts) > 1 else Scalar(repr(parts[0]), lambda value: value == parts[0])
    if origin in (Union, types.UnionType):
        checks = [_check_of(part, where) for part in parts if part is not type(None)]
        check = either(*checks) if len(checks) > 1 else checks[0]
        return optional(check) if type(None) in parts else check
    if hint is bool:
        return flag
    if hint is str:
        return text(TEXT_LIMIT)
    if is_dataclass(hint):
        return mapping(checks_of(hint))  # type: ignore[arg-type]  # a class, not an instance
    raise TypeError(f"{where}: write the bounds of {hint} beside it, as Annotated[..., check].")
