import logging
from importlib import util

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from tests._fonts.installed import make_font, only_own_fonts
from tests._fonts.test_plots import FOREIGN, KNOWN, LAID_OUT
from tests.hostile import hostile
from vig_pyg._fonts import pictures
from vig_pyg._fonts.pictures import PictureFonts, picture_names


def drawn(text, texts=None, size=12):
    """The pixels of a text."""
    image = Image.new("L", (200, 24), "white")
    PictureFonts(texts or [text], size=size).write(ImageDraw.Draw(image), (2, 2), text, "black")
    return np.asarray(image)


def test_plain_text_is_drawn_as_before():
    image = Image.new("L", (200, 24), "white")
    font = ImageFont.load_default(12)
    ImageDraw.Draw(image).text((2, 2), "cat (2) jg", fill="black", font=font)
    assert np.array_equal(drawn("cat (2) jg"), np.asarray(image))
    assert PictureFonts(["cat"], size=12).length("cat") == font.getlength("cat")


@pytest.mark.parametrize("name", [*KNOWN, *LAID_OUT])
def test_names_that_the_font_of_matplotlib_has(name, monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    assert picture_names([name]) == [name] and not caplog.records
    assert not PictureFonts([name], size=12).missing
    box = drawn("\ue000" * len(name), [name])  # a character that no font has
    assert not np.array_equal(drawn(name), box) and (drawn(name) < 128).any()


def test_letters_are_joined_and_ordered(monkeypatch):
    if not (features.check("raqm") and features.check("fribidi")):
        pytest.skip("Pillow without a layout")
    only_own_fonts(monkeypatch)
    fonts = PictureFonts(["قطة"], size=40)
    assert fonts.length("قطة") < 0.95 * sum(map(fonts.length, "قطة"))  # single letters are wider


def test_without_a_layout_the_number_is_drawn(monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    monkeypatch.setattr(features, "check", lambda name: name != "fribidi")
    assert picture_names(["cat", "قطة", "кошка"]) == ["cat", "class 1", "кошка"]
    assert "FriBiDi" in caplog.text


@pytest.mark.parametrize("name", FOREIGN)
def test_names_that_no_font_has_become_numbers(name, monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    shown = picture_names(["cat", name, f"{name} 2"])
    assert shown[:2] == ["cat", "class 1"] and shown[2].startswith("class 2: … 2")
    assert len(caplog.records) == 1 and "Noto Sans" in caplog.text
    assert not PictureFonts(shown, size=11).missing
    caplog.clear()
    assert picture_names(shown) == shown and not caplog.records  # a loop over images warns once


def test_hostile_names_are_drawn(monkeypatch):
    only_own_fonts(monkeypatch)
    shown = picture_names(hostile(200), limit=24)
    fonts, pen = PictureFonts(shown, size=11), ImageDraw.Draw(Image.new("RGB", (99, 30)))
    for text in shown:
        assert len(text) <= 24
        fonts.write(pen, (0, 0), text, "black")
    assert not fonts.missing


def test_an_installed_font_draws_what_it_has(tmp_path, monkeypatch, caplog):
    path = make_font(tmp_path / "cats.ttf", "Cats of pictures", "猫犬")
    only_own_fonts(monkeypatch, installed=[path])
    assert picture_names(["猫", "猫 (cat)", "кошка 犬"]) == ["猫", "猫 (cat)", "кошка 犬"]
    assert not caplog.records
    square = drawn("猫", size=20)
    assert (square < 64).sum() > 100  # a filled square, not the outline of a box
    mixed = PictureFonts(["кошка 犬"], size=20)
    assert mixed.length("кошка 犬") == pytest.approx(sum(map(mixed.length, ["кошка", " ", "犬"])), abs=1)


def test_without_matplotlib_common_fonts_are_tried(tmp_path, monkeypatch, caplog):
    path = make_font(tmp_path / "cats.ttf", "Cats", "猫")
    monkeypatch.setattr(pictures, "find_spec", lambda name: None if name == "matplotlib" else util.find_spec(name))
    monkeypatch.setattr(pictures, "_FILES", (str(tmp_path / "none.ttf"), str(path)))
    with caplog.at_level(logging.WARNING):
        assert picture_names(["cat", "猫", "犬"]) == ["cat", "猫", "class 2"]
    assert "Noto Sans CJK (for 犬)" in caplog.text


def test_a_text_is_shortened_to_a_width():
    text = "a name of several words"
    fonts = PictureFonts([text, "…"], size=12)
    widths = [fonts.length(fonts.fitted(text, width)) for width in range(200)]
    assert all(length <= width for width, length in enumerate(widths))
    assert widths == sorted(widths) and widths[0] == 0
    assert fonts.fitted(text, fonts.length(text)) == text
    shown = fonts.fitted(text, fonts.length(text) - 1)
    assert "…" in shown and shown.startswith("a name") and shown.endswith("words")
    assert fonts.fitted("", 5) == ""
    assert fonts.height >= 12
