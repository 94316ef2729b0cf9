"""Names in figures of matplotlib, which takes the fonts of a list one after the other for each character."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from typing import Any

from vig_pyg._fonts.names import clean_name, needs_layout, numbered, warn_numbered
from vig_pyg._io.text import glyph_test, plot_text

#: Fonts with boxes, or with other shapes than those of the characters, or in colors that figures cannot draw.
_UNUSABLE = re.compile(r"(?i)last ?resort|blank|color|^cm[a-z]+\d+$|^STIX(NonUni|Size)|apple.*emoji")


def plot_names(names: Sequence[object], *, limit: int = 40, word: str = "class") -> tuple[list[str], list[str]]:
    r"""Return labels for a figure, and the families of the fonts to draw them with (`fontfamily`).

    Characters that no installed font has are replaced by the number of the class, and a warning says what to install.

    Args:
        names: The names, in the order of their numbers, which start at 0.
        word: What the names are; it precedes the number.

    Example:
        >>> plot_names(["cat", "$x$"])[0]
        ['cat', '\\$x\\$']
    """
    from matplotlib import ft2font
    from matplotlib.font_manager import FontProperties

    texts = [clean_name(name, limit=limit) for name in names]
    chars = set("".join(texts))
    families = list(FontProperties().get_family())
    if missing := _without(families, chars):
        families += [family for family, _ in fonts_with(missing)]
        missing = _without(families, missing)
    # matplotlib before 3.11 draws each letter by itself, from left to right
    laid_out = hasattr(ft2font, "__libraqm_version__")
    disordered = set() if laid_out else {char for char in chars - missing if needs_layout(char)}
    shown = numbered(texts, missing | disordered, word=word, limit=limit)
    warn_numbered(texts, shown, missing, disordered, remedy="install matplotlib 3.11 or later")
    has_glyph = glyph_test(families)
    return [plot_text(text, limit=limit, has_glyph=has_glyph) for text in shown], families


def fonts_with(missing: Set[str]) -> list[tuple[str, str]]:
    """Return installed fonts (family and file) that contain characters, as few as possible."""
    from matplotlib.font_manager import fontManager

    found, left = _chosen(_candidates(fontManager.ttflist), set(missing))
    if left and (added := _installed_since(left)):
        found += _chosen(_candidates(added), left)[0]
    return found


def _without(families: list[str], chars: Set[str]) -> set[str]:
    """Return the characters that no font of the families has."""
    has_glyph = glyph_test(families)
    return {char for char in chars if not has_glyph(char)}


def _candidates(entries: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the family and the file of each usable font in its upright, regular form, plain families first."""
    best: dict[str, Any] = {}
    for entry in entries:
        if not _UNUSABLE.search(entry.name):
            kept = best.setdefault(entry.name, entry)
            best[entry.name] = min(kept, entry, key=_distance)
    return [(name, _path(best[name])) for name in sorted(best, key=_order)]


def _distance(entry: Any) -> tuple[bool, bool, float]:
    """Order the forms of a family as matplotlib does when it looks for regular text."""
    weight = entry.weight if isinstance(entry.weight, int) else 400
    return entry.style != "normal", entry.stretch != "normal", abs(weight - 400)


def _order(name: str) -> tuple[bool, bool, bool, str]:
    return name != "DejaVu Sans", not name.startswith("Noto Sans"), "Serif" in name or "Mono" in name, name


def _path(entry: Any) -> str:
    """Return the file of a font, from matplotlib 3.11 with its place in a collection."""
    from matplotlib import font_manager

    with_place = getattr(font_manager, "FontPath", None)
    return entry.fname if with_place is None else with_place(entry.fname, entry.index)


def _chosen(candidates: list[tuple[str, str]], missing: set[str]) -> tuple[list[tuple[str, str]], set[str]]:
    """Return the fonts that have the most of the missing characters one after the other, and those that none has."""
    found: list[tuple[str, str]] = []
    left = set(missing)
    while left:
        best: tuple[tuple[str, str], set[str]] | None = None
        for one in candidates:
            has = _contained(one[1], left)
            if has and (best is None or len(has) > len(best[1])):
                best = one, has
            if len(has) == len(left):
                break
        if best is None:
            break
        found.append(best[0])
        left -= best[1]
    return found, left


def _contained(path: str, chars: Set[str]) -> set[str]:
    """Return those of the characters that a font has; none if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
    except (OSError, RuntimeError, ValueError):  # removed since matplotlib listed it, or damaged
        return set()
    return {char for char in chars if font.get_char_index(ord(char))}


def _installed_since(missing: Set[str]) -> list[Any]:
    """Return fonts with missing characters that were installed after matplotlib made its list, and add them to it."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    before = len(fontManager.ttflist)
    for path in sorted(set(findSystemFonts()) - known):
        if _contained(path, missing):
            try:
                fontManager.addfont(path)
            except (OSError, RuntimeError, ValueError, KeyError):  # for example bitmaps, which cannot be scaled
                continue
    return fontManager.ttflist[before:]
