import warnings

import numpy as np
import pytest
from matplotlib import font_manager, ft2font
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests._fonts.installed import make_font, only_own_fonts
from tests._fonts.test_names import SCRIPTS
from tests.hostile import hostile
from vig_pyg._figure import figure
from vig_pyg._fonts.plots import fonts_with, plot_names
from vig_pyg._io.text import glyph_test

#: Characters that none of matplotlib's fonts has.
FOREIGN = ["猫", "ねこ", "고양이", "बिल्ली", "แมว", "ဒဂ", "ឆ្មා"[:3]]
#: Names that DejaVu Sans has, which comes with matplotlib.
KNOWN = ["кошка", "Γάτα", "Größe", "mèo", "kočka", "🐱"]
#: Names that it has and that need an order from right to left.
LAID_OUT = ["قطة", "חתול", "میخواهم"]


def pixels(text, fonts):
    """The pixels of a label; a glyph that is missing is an error."""
    fig = figure(2, 0.5)
    fig.text(0.1, 0.3, text, fontfamily=fonts)
    canvas = FigureCanvasAgg(fig)
    with warnings.catch_warnings(action="error"):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0]


def test_names_that_the_default_font_has_stay(monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    labels, fonts = plot_names(KNOWN)
    assert labels == KNOWN
    assert fonts == font_manager.FontProperties().get_family()
    assert not caplog.records
    drawn = [pixels(label, fonts) for label in labels]
    assert all((one < 128).any() for one in drawn)
    assert len({one.tobytes() for one in drawn}) == len(KNOWN)  # boxes would be alike


@pytest.mark.parametrize("name", LAID_OUT)
def test_names_from_right_to_left(name, monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    (label,), fonts = plot_names([name])
    if hasattr(ft2font, "__libraqm_version__"):
        assert label == name
    else:
        assert label == "class 0"
    pixels(label, fonts)
    monkeypatch.delattr(ft2font, "__libraqm_version__", raising=False)  # matplotlib before 3.11
    monkeypatch.setattr("vig_pyg._fonts.names._warned", set())  # it may have been told above
    caplog.clear()
    assert plot_names([name, "cat"])[0] == ["class 0", "cat"]
    assert "install matplotlib 3.11 or later" in caplog.text


@pytest.mark.parametrize("name", FOREIGN)
def test_names_that_no_font_has_become_numbers(name, monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    labels, fonts = plot_names(["cat", name, f"{name} 2"])
    assert labels[:2] == ["cat", "class 1"] and labels[2].startswith("class 2: … 2")
    assert len(caplog.records) == 1 and "Noto Sans" in caplog.text
    for label in labels:
        pixels(label, fonts)


def test_all_scripts_are_drawn_without_a_warning_whatever_is_installed():
    labels, fonts = plot_names([name for name, _, _ in SCRIPTS])
    for i, label in enumerate(labels):
        assert label in (SCRIPTS[i][0], f"class {i}")
        pixels(label, fonts)


def test_hostile_names_are_drawn(monkeypatch):
    only_own_fonts(monkeypatch)
    labels, fonts = plot_names(hostile(80), limit=24)
    blank = pixels("", fonts)
    assert len(labels) == 80
    for label in labels:
        assert np.array_equal(pixels(label, fonts), blank) == (not label.strip()), label


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "installed after matplotlib made its list"])
def test_an_installed_font_is_found(listed, tmp_path, monkeypatch, caplog):
    family = f"Cats{int(listed)}"
    path = make_font(tmp_path / "cats.ttf", family, "猫犬")
    only_own_fonts(monkeypatch, installed=[tmp_path / "damaged.ttf", path])
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    if listed:
        font_manager.fontManager.addfont(path)
    names = ["cat", "猫", "犬 (dog)", "鳥"]
    labels, fonts = plot_names(names)
    assert fonts[-1] == family
    assert labels == ["cat", "猫", "犬 (dog)", "class 3"]
    assert (pixels("猫", fonts) < 128).sum() > (pixels("-", fonts) < 128).sum()
    assert len(caplog.records) == 1 and "鳥" in caplog.text


def test_the_font_with_most_of_the_characters_comes_first(tmp_path, monkeypatch):
    paths = [
        make_font(tmp_path / "a.ttf", "A few", "猫"),
        make_font(tmp_path / "m.ttf", "Most", "猫犬鳥"),
        make_font(tmp_path / "r.ttf", "Rest", "魚猫"),
    ]
    only_own_fonts(monkeypatch, installed=paths)
    assert [family for family, _ in fonts_with(set("猫犬鳥魚"))] == ["Most", "Rest"]
    assert fonts_with(set("馬")) == []


def test_no_font_of_boxes_is_taken(monkeypatch):
    only_own_fonts(monkeypatch)
    assert fonts_with(set("猫แ")) == []  # Last Resort, which comes with matplotlib, has a box for each character
    families = [family for family, _ in fonts_with(set("𝔸ℵא"))]
    assert families and all(map(glyph_test(families), "𝔸ℵא"))


def test_a_font_that_is_gone_is_skipped(tmp_path, monkeypatch):
    path = make_font(tmp_path / "gone.ttf", "Gone", "猫")
    only_own_fonts(monkeypatch)
    font_manager.fontManager.addfont(path)
    path.unlink()
    assert fonts_with({"猫"}) == []


def test_settings_of_matplotlib_stay(monkeypatch):
    import matplotlib

    only_own_fonts(monkeypatch)
    before = dict(matplotlib.rcParams)
    plot_names(["猫", "قطة"])
    assert dict(matplotlib.rcParams) == before
