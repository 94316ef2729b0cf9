"""Checks of entries of a file; their errors name the file, the entry, the value, and the expected values.

A check is a function of a value and the name of its entry. It returns the value or raises `ValueError`. Bounds are
wide: they exclude impossible values, not unusual ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vig_pyg._io.names import few_names
from vig_pyg._io.text import error_text, terminal_text

Check = Callable[[Any, str], Any]


class OwnCodeError(ValueError):
    """A valid file names code that the user has to import first.

    Example:
        >>> with read_as("a number", "a.json"):
        ...     raise OwnCodeError("runs/a/config.json: conv is my_ops:MyConv.")
        Traceback (most recent call last):
        vig_pyg._io.schema.OwnCodeError: runs/a/config.json: conv is my_ops:MyConv.
    """


@contextmanager
def read_as(what: str, where: str) -> Iterator[None]:
    """A context that adds the file name and the expected content to errors about wrong values.

    Raises:
        ValueError: Instead of a `ValueError` or `TypeError`; the message names the file and the entry.
        OwnCodeError: Unchanged.

    Example:
        >>> with read_as("a number", "a.json"):
        ...     whole(1, 9)(3, "a.json: k")
        3
    """
    try:
        yield
    except OwnCodeError:
        raise  # the file is right
    except (ValueError, TypeError) as error:
        reason = error_text(error).removeprefix(where).lstrip(": ")
        raise ValueError(f"{where} is not {what}: {reason}") from error


@dataclass(frozen=True)
class Scalar:
    """A check of a single value.

    Args:
        expected: Description of valid values that completes "must be ..."; help texts also show it.
        takes: Function that returns true for a valid value.

    Example:
        >>> Scalar("an even number", lambda value: value in (2, 4))(2, "config.json: k")
        2
    """

    expected: str
    takes: Callable[[Any], bool]

    def __call__(self, value: Any, where: str) -> Any:
        if not self.takes(value):
            raise _wrong(where, self.expected, value)
        return value


def whole(low: int, high: int) -> Scalar:
    """Return a check of whole numbers from `low` to `high`; bools are invalid.

    Example:
        >>> whole(1, 9)(3, "config.json: k")
        3
    """
    return Scalar(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def number(low: float, high: float) -> Scalar:
    """Return a check of finite numbers from `low` to `high`; bools are invalid.

    Example:
        >>> number(0, 1)(0.5, "config.json: dropout")
        0.5
    """
    return Scalar(f"a number from {low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high)


def positive(high: float) -> Scalar:
    """Return a check of numbers above 0 and at most `high`.

    Example:
        >>> positive(1)(0.5, "config.yaml: lr")
        0.5
    """
    return Scalar(f"a number above 0, at most {high:g}", lambda value: _is_number(value) and 0 < value <= high)


#: True or false.
flag = Scalar("true or false", lambda value: isinstance(value, bool))


def text(limit: int) -> Scalar:
    """Return a check of text with at most `limit` characters.

    Example:
        >>> text(10)("red", "config.json: class_names")
        'red'
    """
    return Scalar(f"text of at most {limit} characters", lambda value: isinstance(value, str) and len(value) <= limit)


def choice(names: Collection[str]) -> Scalar:
    """Return a check that a value is one of the given words.

    Example:
        >>> choice(["mr", "edge"])("mr", "config.json: conv")
        'mr'
    """
    return Scalar(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def optional(check: Check) -> Check:
    """Return a check that accepts null and the values of another check.

    Example:
        >>> optional(text(10))(None, "config.json: graph")
    """
    if isinstance(check, Scalar):
        takes = check.takes
        return Scalar(f"{check.expected}, or null", lambda value: value is None or takes(value))
    return lambda value, where: None if value is None else check(value, where)


def either(*checks: Check) -> Check:
    """Return a check that accepts the values of any of several checks; the error lists all if they are scalar.

    Example:
        >>> either(whole(1, 9), listing(whole(1, 9), 2, 2))([3, 9], "config.json: k")
        [3, 9]
    """
    scalars = [check for check in checks if isinstance(check, Scalar)]
    if len(scalars) == len(checks):
        return Scalar(
            " or ".join(one.expected for one in scalars), lambda value: any(one.takes(value) for one in scalars)
        )

    def check(value: Any, where: str) -> Any:
        for one in checks[:-1]:
            try:
                return one(value, where)
            except ValueError:
                continue
        return checks[-1](value, where)

    return check


def listing(entry: Check, low: int, high: int) -> Check:
    """Return a check of lists with `low` to `high` entries, each of which must pass another check.

    Example:
        >>> listing(whole(1, 9), 1, 4)([1, 2], "config.json: depths")
        [1, 2]
    """

    def check(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list | tuple) or not low <= len(value) <= high:
            count = f"{low} to {high}" if low != high else str(low)
            raise _wrong(where, f"a list of {count} entries", value)
        return [entry(one, f"{where}[{i}]") for i, one in enumerate(value)]

    return check


def mapping(entries: Mapping[str, Check], *, required: Collection[str] = (), also: str = "") -> Check:
    """Return a check of mappings with known keys, each of whose values must pass a check.

    Args:
        entries: The check of each key.
        required: Keys that must be there.
        also: What else a key may be, after the names in the message about an unknown key.

    Example:
        >>> mapping({"k": whole(1, 9)})({"k": 3}, "config.json")
        {'k': 3}
    """

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(where, "a mapping from keys to values", value)
        for key in value:
            if key not in entries:
                raise ValueError(
                    f"{where}: unknown entry {nearest(key, entries)}: choose one of {few_names(key, entries)}{also}."
                )
        for key in required:
            if key not in value:
                raise ValueError(f"{where}: the entry {key!r} is missing.")
        return {key: entries[key](one, f"{where}: {key}") for key, one in value.items()}

    return check


def _wrong(where: str, expected: str, value: Any) -> ValueError:
    shown = f"a {type(value).__name__} of {len(value)}" if isinstance(value, list | tuple | dict) else None
    return ValueError(f"{where} must be {expected}, got {shown or terminal_text(_shown(value), limit=60)}.")


def _shown(value: Any) -> str:
    # converting a huge number to digits would take long
    return repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"


def nearest(name: object, known: Collection[str]) -> str:
    """Return an unknown name as text for a message, with the valid name that was probably meant.

    Example:
        >>> nearest("epoch", ["epochs", "lr"])
        "'epoch' (did you mean 'epochs'?)"
    """
    close = get_close_matches(str(name)[:100], known, n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{terminal_text(name, limit=60)!r}{meant}"


def _is_number(value: Any) -> bool:
    """True for finite numbers except bools."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)
