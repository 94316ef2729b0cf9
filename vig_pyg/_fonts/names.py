"""Names that a picture can show: what cannot be drawn is replaced by the number of the class, with one warning."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence, Set

from vig_pyg._io.text import shortened, terminal_text

_log = logging.getLogger(__name__)

#: Variation selectors, and joiners inside of a word or an emoji: they have no shape of their own.
_SHAPELESS = re.compile("[\ufe00-\ufe0f]|(?<=[^\0-\x7f])[\u200c\u200d](?=[^\0-\x7f])")
#: Blocks whose letters change their shape or place beside others: the scripts of India, Tibet, Burma, Khmer, Mongolia.
_SHAPED = ((0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x18AF), (0x1A20, 0x1AAF), (0xA800, 0xABFF))
#: Scripts of which one font has all characters, by the first word of their Unicode names.
_FONTS = dict.fromkeys(["CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH"], "CJK")
#: Classes and fonts that a warning lists.
_LISTED = 3


def clean_name(name: object, *, limit: int) -> str:
    """Return a name in composed characters, without those that have no shape, and escaped as in a terminal.

    Folders of macOS have decomposed names, whose parts few fonts have.

    Args:
        name: The name.
        limit: Largest number of characters (see `vig_pyg._io.text.terminal_text`).

    Example:
        >>> clean_name("e\u0301t\u00e9", limit=9) == "\u00e9t\u00e9"
        True
    """
    return terminal_text(_SHAPELESS.sub("", unicodedata.normalize("NFC", str(name))), limit=limit)


def needs_layout(char: str) -> bool:
    """True if a character is read from right to left, or changes its shape or place beside others.

    Args:
        char: One character.

    Example:
        >>> needs_layout("\u0628"), needs_layout("a")
        (True, False)
    """
    right_to_left = unicodedata.bidirectional(char) in ("R", "AL")
    return right_to_left or any(first <= ord(char) <= last for first, last in _SHAPED)


def numbered(texts: Sequence[str], unreadable: Set[str], *, word: str, limit: int) -> list[str]:
    """Replace names with characters that cannot be drawn by their number, and keep the readable part beside it.

    Args:
        texts: The names, in the order of their numbers, which start at 0.
        unreadable: The characters that cannot be drawn.
        word: What the names are, such as `"class"`.
        limit: Largest number of characters of a result.

    Example:
        >>> numbered(["cat", "\u732b", "\u732b (cat)"], {"\u732b"}, word="class", limit=40)
        ['cat', 'class 1', 'class 2: … (cat)']
    """
    shown = list(texts)
    for i, text in enumerate(texts):
        if unreadable.isdisjoint(text):
            continue
        rest = re.sub("\0+", "…", "".join("\0" if char in unreadable else char for char in text))
        readable = any(char.isalnum() for char in rest)
        shown[i] = shortened(f"{word} {i}: {rest}" if readable else f"{word} {i}", limit)
    return shown


def warn_numbered(
    names: Sequence[str], shown: Sequence[str], missing: Set[str], disordered: Set[str], *, remedy: str
) -> None:
    """Log which names a picture shows by number, and what to install; nothing if all names are shown.

    Args:
        names: The names.
        shown: What is drawn in their place (see `numbered`).
        missing: Characters that no font has.
        disordered: Characters whose script needs a layout (see `needs_layout`) that is missing.
        remedy: What to do about the layout.

    Example:
        >>> warn_numbered(["cat"], ["cat"], set(), set(), remedy="")
    """
    changed = [i for i, name in enumerate(names) if not (missing | disordered).isdisjoint(name)]
    if not changed:
        return
    listed = ", ".join(f'"{shown[i]}" is {terminal_text(names[i], limit=40)}' for i in changed[:_LISTED])
    more = f" and {len(changed) - _LISTED} more" if len(changed) > _LISTED else ""
    advice = []
    if missing:
        examples: dict[str, str] = {}
        for char in _most_frequent(names, missing):
            examples.setdefault(font_for(char), char)
        fonts = [f"{font} (for {char})" for font, char in list(examples.items())[:_LISTED]]
        advice.append(f"no installed font has the characters: install {', '.join(fonts)}")
    if disordered:
        advice.append(f"{_most_frequent(names, disordered)[0]} needs a layout: {remedy}")
    _log.warning("Names that cannot be drawn are shown by number (%s%s): %s.", listed, more, "; ".join(advice))


def font_for(char: str) -> str:
    """Return the name of a free font with a character.

    Args:
        char: One character.

    Example:
        >>> font_for("\u732b"), font_for("\u0939"), font_for("\U0001f431")
        ('Noto Sans CJK', 'Noto Sans Devanagari', 'Noto Emoji')
    """
    words = unicodedata.name(char, "").split()
    if not words or not unicodedata.category(char).startswith(("L", "M", "N")):
        return "Noto Emoji" if unicodedata.category(char) in ("So", "Sk") else "Noto Sans"
    return f"Noto Sans {_FONTS.get(words[0], words[0].capitalize())}"


def _most_frequent(names: Iterable[str], chars: Set[str]) -> list[str]:
    """Return the characters, the most frequent in the names first."""
    return [char for char, _ in Counter(char for name in names for char in name if char in chars).most_common()]
