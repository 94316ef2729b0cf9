"""Checks of options that are whole numbers or probabilities."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any


def whole_number(value: object, name: str, *, least: int = 1, expected: str = "", given: object = None) -> int:
    """Check an option that is a whole number, and return it as an `int`.

    Args:
        value: The option; integers of NumPy and of tensors with one element are whole numbers too, `True` is none.
        expected: Description of the valid numbers for messages; by default "at least" and `least`.
        given: What the caller passed, for messages, if `value` is an entry of it.

    Example:
        >>> whole_number(5, "num_classes")
        5
    """
    kind = str(getattr(value, "dtype", type(value).__name__))
    given = value if given is None else given
    try:
        if "bool" in kind:
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # raises TypeError for what it does not know
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {given!r} ({kind}).") from None
    if number < least:
        raise ValueError(f"{name} must be {expected or f'at least {least}'}, got {given}.")
    return number


def check_whole_numbers(
    config: object, *names: str, least: int = 1, expected: str = "", several: bool | None = False
) -> None:
    """Check fields of a frozen dataclass with `whole_number`.

    Args:
        several: If true, a field is a tuple of numbers; with `None` it is a number or a tuple of two.

    Example:
        >>> from vig_pyg import ViGConfig
        >>> ViGConfig(depth="12", channels=96)
        Traceback (most recent call last):
        TypeError: depth must be a whole number, got '12' (str).
    """
    options: Any = {"least": least, "expected": expected}
    for name in names:
        value: Any = getattr(config, name)
        if isinstance(value, tuple | list) and several is not False:
            if several is None and len(value) != 2:
                raise ValueError(f"{name} must be a whole number or two, got {value!r}.")
            found: Any = type(value)(whole_number(part, name, given=value, **options) for part in value)
        elif several:
            raise TypeError(f"{name} must be a tuple of whole numbers, got {value!r} ({type(value).__name__}).")
        else:
            found = whole_number(value, name, **options)
        object.__setattr__(config, name, found)


def check_probabilities(config: object, **allows_one: bool) -> None:
    """Check that fields of a frozen dataclass are numbers from 0 to less than 1, or up to 1 if 1 is allowed.

    Numbers of NumPy are stored as those of Python, which can be written to a file.

    Args:
        config: The dataclass.
        allows_one: For the name of each field, whether it may be 1.

    Example:
        >>> from vig_pyg import ViGConfig
        >>> ViGConfig(depth=2, channels=48, drop_path_rate=2)
        Traceback (most recent call last):
        ValueError: drop_path_rate must be a probability in [0, 1), got 2.
    """
    for name, includes_one in allows_one.items():
        value: Any = getattr(config, name)
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= 1 or (value == 1 and not includes_one):
            raise ValueError(f"{name} must be a probability in [0, 1{']' if includes_one else ')'}, got {value!r}.")
        if type(value) not in (int, float):
            object.__setattr__(config, name, float(value))
