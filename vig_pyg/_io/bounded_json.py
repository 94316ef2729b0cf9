"""Reading of untrusted JSON files in bounded time and memory.

A file must be a regular file of limited size in UTF-8. The nesting depth is limited, numbers must be finite, and keys
must be unique.
"""

from __future__ import annotations

import json
import math
import stat
from itertools import islice
from pathlib import Path
from typing import Any

from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import error_text, terminal_text

#: Largest file in bytes, sufficient for 20,000 class names.
JSON_LIMIT = 4 * 2**20
#: Deepest nesting.
DEPTH_LIMIT = 20
#: Number of names of a folder that are looked at for a suggestion.
_LISTED = 100
#: Largest number of digits of a whole number; no setting needs as many.
DIGITS_LIMIT = 20


def read_bounded(path: str | Path, *, limit: int) -> str:
    """Read the text of a regular file of at most `limit` bytes.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the path is not a regular file, or the file is larger or not in UTF-8.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"There is no file {path}.{did_you_mean(path)}") from None
    if stat.S_ISDIR(status.st_mode):
        inside = sorted(one.name for one in islice(path.iterdir(), _LISTED) if one.suffix in (".json", ".yaml", ".yml"))
        raise ValueError(f"{path} is a folder: pass a file{f' in it, such as {path / inside[0]}' if inside else ''}.")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a regular file.")
    with path.open("rb") as file:
        content = file.read(limit + 1)  # the reported size may be wrong
    if len(content) > limit:
        raise ValueError(f"{path} is larger than {limit / 2**10:.0f} KiB, expected a small file of settings.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}).") from error


def read_json(path: str | Path) -> dict[str, Any]:
    """Read the entries of a JSON file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is larger than `JSON_LIMIT`, nested too deeply, not JSON or not a mapping, or if it
            contains a key twice or a number that is not finite. The message has the name of the file.
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
        raise ValueError(f"{path} must contain a mapping from keys to values, got {kind_of(content)}.")
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
        raise ValueError(f"a number has {len(digits)} digits, expected at most {DIGITS_LIMIT}.")
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
    """Describe the type of a document for an error message.

    Example:
        >>> kind_of(None), kind_of([1]), kind_of({}), kind_of("a"), kind_of(3)
        ('nothing', 'a list', 'a mapping', 'text', 'a single value')
    """
    kinds = {"NoneType": "nothing", "list": "a list", "dict": "a mapping", "str": "text"}
    return kinds.get(type(content).__name__, "a single value")
