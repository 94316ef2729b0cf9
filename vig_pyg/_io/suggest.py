"""Suggestions for misspelled names: the nearest valid name, or the nearest path that exists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path, PurePath

#: Smallest similarity of a suggestion, from 0 to 1: "photso" has 0.83 with "photos", and "rde" has 0.67 with "red".
_ALIKE = 0.66
#: Largest number of entries of a folder that are compared.
_MOST = 10_000


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the valid name that was probably meant, or `None`; letter case counts little.

    Extensions alone make no names alike: `1.jpg` is not suggested for `2.jpg`.

    Args:
        name: The misspelled name.
        known: The valid names.

    Example:
        >>> nearest_name("MyCnv", ["MyConv", "torch"]), nearest_name("2.jpg", ["1.jpg"])
        ('MyConv', None)
    """
    typed = name[:200].casefold()
    whole, stem = SequenceMatcher(b=typed, autojunk=False), SequenceMatcher(b=PurePath(typed).stem, autojunk=False)

    def likeness(other: str) -> float:
        whole.set_seq1(other.casefold())
        if whole.real_quick_ratio() < _ALIKE or whole.quick_ratio() < _ALIKE:
            return 0.0
        stem.set_seq1(PurePath(other.casefold()).stem)
        return min(whole.ratio(), stem.ratio())

    found = max(((likeness(other), other) for other in sorted(known) if other != name), default=(0.0, ""))
    return found[1] if found[0] >= _ALIKE else None


def did_you_mean(path: str | Path, *, names: Iterable[str] = ()) -> str:
    """Return the question `" Did you mean photos?"` for a path that does not exist, or `""`.

    The first part that does not exist is compared with the entries beside it, then the parts below.

    Args:
        path: The path.
        names: Names that are valid too, such as those of built-in data; they are compared with the whole path.

    Example:
        >>> did_you_mean("digist", names=["digits"]), did_you_mean("/nowhere/photos")
        (' Did you mean digits?', '')
    """
    try:
        found = nearest_name(str(path), names) or _nearest_path(Path(os.path.expanduser(path)))
    except (OSError, ValueError, RuntimeError):  # a folder that cannot be read, a null byte, an unknown user
        return ""
    return f" Did you mean {found}?" if found else ""


def _nearest_path(path: Path) -> Path | None:
    missing = path
    while missing.parent != missing and not os.path.lexists(missing.parent):
        missing = missing.parent
    if os.path.lexists(missing):
        return None
    hidden = missing.name.startswith(".")
    with os.scandir(missing.parent) as entries:
        beside = [one.name for one in islice(entries, _MOST) if hidden or not one.name.startswith(".")]
    name = nearest_name(missing.name, beside)
    if name is None:
        return None
    found = missing.parent / name
    rest = path.relative_to(missing)
    if rest == Path():
        return found
    return found / rest if os.path.lexists(found / rest) else _nearest_path(found / rest) or found
