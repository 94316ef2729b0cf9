"""Conversion of annotation values, which may be written as text or words, to numbers and flags."""

from __future__ import annotations

import reprlib
from numbers import Real
from typing import Any

_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}
#: Numbers of images and categories are 64-bit integers in tensors.
_LARGEST = 2**63


def as_number(value: Any) -> float:
    """Convert a number, or text that contains a number, to a float; it may be infinite or NaN.

    Example:
        >>> as_number(" 12.5")
        12.5
    """
    if isinstance(value, bool) or not isinstance(value, Real | str):
        raise ValueError(f"expected a number, got {reprlib.repr(value)}")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a number, got {reprlib.repr(value)}") from None


def as_whole(value: Any) -> int:
    """Convert a whole number of at most 64 bits, or text that contains one, to an integer.

    Example:
        >>> as_whole("000012"), as_whole(12.0)
        (12, 12)
    """
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None:
        exact = as_number(value)
        number = int(exact) if exact.is_integer() and abs(exact) < 2**53 else None
    if number is None or abs(number) >= _LARGEST:
        raise ValueError(f"expected a whole number, got {reprlib.repr(value)}")
    return number


def as_flag(value: Any) -> bool:
    """Convert a flag to a bool: true or false, 1 or 0, one of these as text, or nothing, which means false.

    Example:
        >>> as_flag("false"), as_flag("0"), as_flag(1), as_flag(None)
        (False, False, True, False)
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, Real) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in _FLAGS:
        raise ValueError(f"expected 0 or 1, got {reprlib.repr(value)}")
    return _FLAGS[word]


def as_size(height: Any, width: Any, where: object) -> tuple[int, int] | None:
    """Return the height and width in an annotation, or `None` if a value is missing, empty or 0.

    Raises:
        ValueError: If a value is not a whole number, or is negative; the message contains `where`.

    Example:
        >>> as_size("30", 40, "a.xml")
        (30, 40)
    """
    try:
        sides = [as_number(side or 0) for side in (height, width)]
    except ValueError as error:
        raise ValueError(f"{where}: the image size: {error}.") from None
    if 0 in sides:
        return None
    if not all(side > 0 and side.is_integer() for side in sides):
        raise ValueError(f"{where} has the width {sides[1]} and the height {sides[0]}, expected pixels.")
    return int(sides[0]), int(sides[1])
