"""Names in pictures of Pillow, which draws a text with one font."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence, Set
from importlib.util import find_spec

from PIL import ImageDraw, ImageFont, features

from vig_pyg._fonts.names import clean_name, needs_layout, numbered, warn_numbered
from vig_pyg._fonts.plots import fonts_with
from vig_pyg._io.text import shortened

#: Files that Pillow finds by name in the folders of the system, where matplotlib is not installed to look for fonts.
_FILES = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "msyh.ttc", "meiryo.ttc", "malgun.ttf", "PingFang.ttc", "seguiemj.ttf"),
)


class PictureFonts:
    """The fonts of texts in a picture: Pillow's own, and installed ones for the characters that it lacks.

    Example:
        >>> round(PictureFonts(["cat"], size=11).length("cat")) > 5
        True
    """

    def __init__(self, texts: Iterable[str], *, size: int) -> None:
        chars = set("".join(texts))
        default = ImageFont.load_default(size)
        assert isinstance(default, ImageFont.FreeTypeFont)  # a bitmap font only where Pillow has no FreeType
        self._fonts = [default]
        self._has = [_contained(default, chars)]
        self.missing: set[str] = chars - self._has[0]  #: Characters that no font has.
        for path in _paths(self.missing) if self.missing else ():
            try:
                font = ImageFont.truetype(path, size, index=getattr(path, "face_index", 0))
            except OSError:  # not installed
                continue
            self._fonts.append(font)
            self._has.append(_contained(font, chars))
            self.missing -= self._has[-1]

    def length(self, text: str) -> float:
        """Return the width of a text in pixels."""
        return sum(self._fonts[i].getlength(part) for i, part in self._parts(text))

    @property
    def height(self) -> int:
        """Height of a line in pixels."""
        return sum(self._fonts[0].getmetrics())

    def fitted(self, text: str, width: float) -> str:
        """Return the text, shortened in its middle if it is wider; it is empty if no character fits."""
        if self.length(text) <= width:
            return text
        shorter = (shortened(text, limit) for limit in range(len(text) - 1, 0, -1))
        return next((one for one in shorter if self.length(one) <= width), "")

    def write(
        self, pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, color: str | tuple[int, ...]
    ) -> None:
        """Draw a text."""
        x, y = place
        baseline = y + self._fonts[0].getmetrics()[0]
        for i, part in self._parts(text):
            pen.text((x, baseline), part, fill=color, font=self._fonts[i], anchor="ls")
            x += self._fonts[i].getlength(part)

    def _parts(self, text: str) -> list[tuple[int, str]]:
        """Return the text, or its parts if no single font has all of it, with the indices of their fonts."""
        chars = set(text)
        for i, has in enumerate(self._has):
            if chars <= has:
                return [(i, text)]
        of_char = {char: next((i for i, has in enumerate(self._has) if char in has), 0) for char in chars}
        return [(i, "".join(part)) for i, part in itertools.groupby(text, key=of_char.__getitem__)]


def picture_names(names: Sequence[object], *, limit: int = 40, word: str = "class") -> list[str]:
    """Return names as Pillow can draw them with `PictureFonts`.

    Characters that no installed font has are replaced by the number of the class, and a warning says what to install.
    Names that this function has returned are returned again as they are.

    Args:
        names: The names, in the order of their numbers, which start at 0.
        word: What the names are; it precedes the number.

    Example:
        >>> picture_names(["cat", "dog"])
        ['cat', 'dog']
    """
    texts = [clean_name(name, limit=limit) for name in names]
    missing = PictureFonts(texts, size=10).missing
    laid_out = features.check("raqm") and features.check("fribidi")
    disordered = set() if laid_out else {char for char in set("".join(texts)) - missing if needs_layout(char)}
    shown = numbered(texts, missing | disordered, word=word, limit=limit)
    remedy = "install the library FriBiDi, with which Pillow joins and orders letters"
    warn_numbered(texts, shown, missing, disordered, remedy=remedy)
    return shown


def _paths(missing: Set[str]) -> Iterable[str]:
    if find_spec("matplotlib") is None:
        return _FILES
    return [path for _, path in fonts_with(missing)]


def _contained(font: ImageFont.FreeTypeFont, chars: Set[str]) -> set[str]:
    """Return those of the characters that a font has: Pillow draws the others like a code point without a character."""
    absent = font.getmask("\uffff")
    box = absent.size, bytes(absent)
    found = set()
    for char in chars:
        mask = font.getmask(char)
        if (mask.size, bytes(mask)) != box:
            found.add(char)
    return found
