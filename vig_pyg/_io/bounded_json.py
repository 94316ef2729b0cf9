"""JSON files of strangers, read in bounded time and memory.

A file must be a regular one of limited size, in UTF-8. Nesting is limited, numbers are finite, and a key occurs once.
"""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

from vig_pyg._io.text import error_text, terminal_text

#: Largest file in bytes; 20,000 names of classes fit in.
JSON_LIMIT = 4 * 2**20
#: Deepest nesting.
DEPTH_LIMIT = 20
#: Most digits of a whole number; no setting has as many.
DIGITS_LIMIT = 20


def read_bounded(path: str | Path, *, limit: int) -> str:
    """Read the text of a regular file of at most `limit` bytes.

    Args:
        path: The file; a link to one is followed.
        limit: Largest size in bytes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else, is larger or is not UTF-8.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"There is no file {path}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a regular file.")
    with path.open("rb") as file:
        content = file.read(limit + 1)  # whatever the size was said to be
    if len(content) > limit:
        raise ValueError(f"{path} is larger than {limit / 2**10:.0f} KiB, expected a small file of settings.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}).") from error


def read_json(path: str | Path) -> dict[str, Any]:
    """Read the entries of a JSON file.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is larger than `JSON_LIMIT`, too deep, not JSON or no mapping, has a key twice, or holds a
            number that is not finite; with the name of the file.
    """
    text = read_bounded(path, limit=JSON_LIMIT)
    try:
        content = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_finite,
            parse_int=_whole,
            parse_float=_finite,  # NaN too
        )
        _check_depth(content)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply ({DEPTH_LIMIT} levels are allowed).") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON as expected: {error_text(error, limit=300)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold one value for each key, got {kind_of(content)}.")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {terminal_text(key, limit=60)!r} occurs twice.")
        made[key] = value
    return made


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"a number has {len(digits)} digits, {DIGITS_LIMIT} at most are expected.")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{terminal_text(digits, limit=40)} is not a finite number.")
    return number


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            part
            for one in level
            if isinstance(one, list | dict)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise ValueError(f"it is nested too deeply ({DEPTH_LIMIT} levels are allowed).")


def kind_of(content: Any) -> str:
    """Name the kind of content that a document holds, for an error."""
    return "nothing" if content is None else f"a {type(content).__name__}"
