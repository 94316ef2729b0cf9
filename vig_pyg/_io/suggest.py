"""Suggestions for misspelled names: the nearest valid name, or the nearest path that exists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from heapq import nlargest
from itertools import islice
from pathlib import Path, PurePath

#: Smallest similarity of a suggestion, from 0 to 1: "photso" has 0.83 with "photos", and "rde" has 0.67 with "red".
_ALIKE = 0.66
#: Largest number of entries of a folder that are read, and of names that are compared letter by letter.
_MOST, _COMPARED = 10_000, 200
#: Largest difference of the lengths of two names, and the largest part of a name that is compared.
_FARTHEST, _LONGEST = 8, 255
_DIGITS = re.compile(r"\d")


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the valid name that was probably meant, or `None`; letter case counts little.

    Extensions alone make no names alike: `1.jpg` is not suggested for `2.jpg`. A name with another number is another
    thing: neither `fold2` nor `fold` is suggested for `fold3`.

    Example:
        >>> nearest_name("MyCnv", ["MyConv", "torch"]), nearest_name("2.jpg", ["1.jpg"])
        ('MyConv', None)
    """
    typed = name[:_LONGEST].casefold()
    letters, digits = _divided(typed)
    whole, stem = SequenceMatcher(b=typed, autojunk=False), SequenceMatcher(b=PurePath(typed).stem, autojunk=False)
    best, found = _ALIKE, None
    for other, folded in _candidates(name, typed, known):
        theirs = _divided(folded)
        if theirs[1] != digits and (theirs[0] == letters or (digits and theirs[1])):
            continue
        whole.set_seq1(folded)
        if whole.real_quick_ratio() < best or whole.quick_ratio() < best or (likeness := whole.ratio()) < best:
            continue
        stem.set_seq1(PurePath(folded).stem)
        likeness = min(likeness, stem.ratio())
        if likeness > best or (likeness == best and (found is None or other > found)):
            best, found = likeness, other
    return found


def _candidates(name: str, typed: str, known: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names that are compared, and their texts in lower case: of many those with the most alike ends.

    The comparison takes time in proportion to the square of the length, and a misspelling changes few places.
    """
    near = [(one, one.casefold()) for one in sorted(known) if one != name and abs(len(one) - len(typed)) <= _FARTHEST]
    return nlargest(_COMPARED, near, key=lambda one: _alike_ends(typed, one[1])) if len(near) > _COMPARED else near


def _alike_ends(one: str, other: str) -> int:
    """Return the number of equal characters at the beginning and at the end of two texts."""
    start = _common(one, other)
    return start + _common(one[start:][::-1], other[start:][::-1])


def _common(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts, by bisection."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _divided(text: str) -> tuple[str, str]:
    """Return a text without its digits, and its digits."""
    return _DIGITS.sub("", text), "".join(_DIGITS.findall(text))


def did_you_mean(path: str | Path, *, names: Iterable[str] = ()) -> str:
    """Return the question `" Did you mean photos?"` for a path that does not exist, or `""`.

    The first part that does not exist is compared with the entries beside it, then the parts below.

    Args:
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
    try:
        return found / rest if os.path.lexists(found / rest) else _nearest_path(found / rest) or found
    except OSError:  # what is below cannot be read
        return found
