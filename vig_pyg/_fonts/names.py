"""Names that a picture can show: what cannot be drawn is replaced by the number of the class, with a warning.

A process warns once of each font that is missing, because a program may draw thousands of pictures.
"""

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
#: Scripts of which Noto Sans has a font of their name, by the first word of the Unicode names of their characters.
_SCRIPTS = [
    "ADLAM", "ARABIC", "ARMENIAN", "BALINESE", "BAMUM", "BATAK", "BENGALI", "BUGINESE", "CHAKMA", "CHAM",
    "CHEROKEE", "COPTIC", "CUNEIFORM", "DEVANAGARI", "ETHIOPIC", "GEORGIAN", "GLAGOLITIC", "GOTHIC", "GUJARATI",
    "GURMUKHI", "HEBREW", "JAVANESE", "KANNADA", "KHMER", "LAO", "LEPCHA", "LIMBU", "LISU", "MALAYALAM", "MANDAIC",
    "MONGOLIAN", "MYANMAR", "OGHAM", "ORIYA", "OSAGE", "REJANG", "RUNIC", "SAMARITAN", "SAURASHTRA", "SINHALA",
    "SUNDANESE", "SYRIAC", "TAGALOG", "TAMIL", "TELUGU", "THAANA", "THAI", "TIFINAGH", "VAI", "YI",
]  # fmt: skip
#: Fonts of scripts by these words.
_FONTS = {
    **{word: f"Noto Sans {word.capitalize()}" for word in _SCRIPTS},
    **dict.fromkeys(["CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"], "Noto Sans CJK"),
    **dict.fromkeys(["FULLWIDTH", "HALFWIDTH"], "Noto Sans CJK"),
    **dict.fromkeys(["LATIN", "GREEK", "CYRILLIC"], "Noto Sans"),
    "CANADIAN": "Noto Sans Canadian Aboriginal",
    "EGYPTIAN": "Noto Sans Egyptian Hieroglyphs",
    "MATHEMATICAL": "Noto Sans Math",
    "TIBETAN": "Noto Serif Tibetan",
}
#: First and last code of blocks of emoji.
_EMOJI = (
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F7E0, 0x1F7EB),
    (0x1F90C, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
)
#: Classes and fonts that a warning lists.
_LISTED = 3
#: What this process has warned of: fonts, characters and remedies.
_warned: set[str] = set()


def clean_name(name: object, *, limit: int) -> str:
    """Return a name in composed characters, without those that have no shape, and escaped as in a terminal.

    Folders of macOS have decomposed names, whose parts few fonts have.

    Example:
        >>> clean_name("e\u0301t\u00e9", limit=9) == "\u00e9t\u00e9"
        True
    """
    return terminal_text(_SHAPELESS.sub("", unicodedata.normalize("NFC", str(name))), limit=limit)


def needs_layout(char: str) -> bool:
    """True if a character is read from right to left, or changes its shape or place beside others.

    Example:
        >>> needs_layout("\u0628"), needs_layout("a")
        (True, False)
    """
    right_to_left = unicodedata.bidirectional(char) in ("R", "AL")
    return right_to_left or any(first <= ord(char) <= last for first, last in _SHAPED)


def numbered(texts: Sequence[str], unreadable: Set[str], *, word: str, limit: int) -> list[str]:
    """Replace names with characters that cannot be drawn by their number, beside which most of a name is kept.

    Example:
        >>> numbered(["cat", "\u732b", "\u732b (cat)"], {"\u732b"}, word="class", limit=40)
        ['cat', 'class 1', 'class 2: … (cat)']
    """
    shown = list(texts)
    for i, text in enumerate(texts):
        if unreadable.isdisjoint(text):
            continue
        rest = re.sub("\0+", "…", re.sub(r"\S+", lambda part: _readable_part(part[0], unreadable), text))
        readable = any(char.isalnum() for char in rest)
        shown[i] = shortened(f"{word} {i}: {rest}" if readable else f"{word} {i}", limit)
    return shown


def _readable_part(word: str, unreadable: Set[str]) -> str:
    """Replace what cannot be drawn by null characters: the whole word, if only single letters of it can be drawn."""
    missing = sum(char in unreadable for char in word)
    if missing > sum(char.isalnum() and char not in unreadable for char in word):
        return "\0"
    return "".join("\0" if char in unreadable else char for char in word)


def warn_numbered(
    names: Sequence[str], shown: Sequence[str], missing: Set[str], disordered: Set[str], *, remedy: str
) -> None:
    """Log which names a picture shows by number, and what to install; nothing if all names are shown.

    If the process has warned of everything that is to be installed before, it is not repeated.

    Args:
        missing: Characters that no font has.
        disordered: Characters whose script needs a layout (see `needs_layout`) that is missing.
        remedy: What to do about the layout.
    """
    changed = [i for i, name in enumerate(names) if not (missing | disordered).isdisjoint(name)]
    fonts: dict[str, str] = {}  # an example of each
    unknown: list[str] = []
    for char in _most_frequent(names, missing):
        if font := font_for(char):
            fonts.setdefault(font, char)
        else:
            unknown.append(_described(char))
    laid_out = _most_frequent(names, disordered)
    needed = {*fonts, *unknown, *([remedy] if laid_out else [])}
    if not changed or needed <= _warned:
        return
    _warned.update(needed)
    advice = []
    if fonts:
        listed = [f"{font} (for {char})" for font, char in list(fonts.items())[:_LISTED]]
        advice.append(f"no installed font has the characters: install {', '.join(listed)}")
    if unknown:
        advice.append(f"no installed font has {', '.join(unknown[:_LISTED])}")
    if laid_out:
        advice.append(f"{laid_out[0]} needs a layout: {remedy}")
    examples = ", ".join(f'"{shown[i]}" is {terminal_text(names[i], limit=40)}' for i in changed[:_LISTED])
    more = f" and {len(changed) - _LISTED} more" if len(changed) > _LISTED else ""
    _log.warning("Names that cannot be drawn are shown by number (%s%s): %s.", examples, more, "; ".join(advice))


def font_for(char: str) -> str:
    """Return the name of a free font with a character, or an empty text if none is known for sure.

    Example:
        >>> font_for("\u732b"), font_for("\u0939"), font_for("\U0001f431"), font_for("\ufdfd")
        ('Noto Sans CJK', 'Noto Sans Devanagari', 'Noto Emoji', '')
    """
    category = unicodedata.category(char)
    if category in ("So", "Sk") and any(first <= ord(char) <= last for first, last in _EMOJI):
        return "Noto Emoji"
    word = unicodedata.name(char, "").partition(" ")[0]
    return _FONTS.get(word, "") if category.startswith(("L", "M", "N")) else ""


def _described(char: str) -> str:
    """Return a character with its code and its Unicode name."""
    return f"{char} (U+{ord(char):04X} {unicodedata.name(char, 'without a name')})"


def _most_frequent(names: Iterable[str], chars: Set[str]) -> list[str]:
    """Return the characters, the most frequent in the names first."""
    return [char for char, _ in Counter(char for name in names for char in name if char in chars).most_common()]
