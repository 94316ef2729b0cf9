"""A machine with chosen fonts: those of matplotlib, and small ones that are made here."""

from pathlib import Path

import matplotlib
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

OWN = Path(matplotlib.get_data_path())


def only_own_fonts(monkeypatch, installed=()):
    """Let matplotlib know its own fonts alone; `installed` are files that it finds in the folders of the system."""
    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if OWN in Path(entry.fname).parents]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *args, **kwargs: [str(path) for path in installed])


def make_font(path, family, chars):
    """Write a font whose characters are filled squares, and the box of absent characters is a narrow one."""
    names = [".notdef", *(f"u{ord(char):05x}" for char in chars)]
    glyphs = {}
    for i, name in enumerate(names):
        pen, side = TTGlyphPen(None), 700 if i else 200
        pen.moveTo((50, 0))
        for point in ((50, side), (side, side), (side, 0)):
            pen.lineTo(point)
        pen.closePath()
        glyphs[name] = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(char): name for char, name in zip(chars, names[1:], strict=True)})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(dict.fromkeys(names, (800, 50)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular", "fullName": family, "psName": family})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path
