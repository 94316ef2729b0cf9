import itertools
import warnings

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from tests._fonts.installed import make_font, only_own_fonts
from vig_pyg.classification.plots import draw_confusion


def test_confusion_shows_counts_and_shares():
    axes = draw_confusion(torch.tensor([[3, 1], [0, 4]]), ["cat", "dog"]).axes[0]
    assert [t.get_text() for t in axes.texts] == ["3", "1", "4"]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]


@pytest.mark.parametrize("size", [1, 2, 10, 20, 21, 40, 41, 100, 1000])
@pytest.mark.parametrize(("unit", "scale"), [("images", 1), ("pixels", 123_457)])
def test_the_picture_says_what_numbers_and_colors_are(size, unit, scale):
    generator = torch.Generator().manual_seed(size)
    counts = (torch.rand(size, size, generator=generator) < 0.2).long() + torch.eye(size, dtype=torch.long) * 7
    counts[-1] *= 10  # a large class
    counts *= scale
    fig = draw_confusion(counts, [f"class {i}" for i in range(size)], unit=unit)
    axes, large = fig.axes[0], size > 40
    title = axes.get_title() if large else fig.get_suptitle()
    assert f"{counts.sum():,} {unit}" in title
    assert f"{100 * counts.diagonal().sum() / counts.sum():.1f} % correct" in title
    bar = fig.axes[-1]
    assert bar.get_ylabel().startswith("% of the true class")
    assert [text.get_text() for text in bar.get_yticklabels()][-2:] == ["50 %" if large else "75 %", "100 %"]
    if size <= 20:
        percent = scale > 1
        meaning = "numbers and color: % of the true class" if percent else "numbers: images; color: % of the true class"
        shown = {place: text.get_text() for text in axes.texts for place in [tuple(map(int, text.get_position()))]}
        for (j, i), number in shown.items():
            share = 100 * float(counts[i, j] / counts[i].sum())
            assert number == (f"{share:.0f}" if percent else str(int(counts[i, j])))
    else:
        meaning = "color: % of the true class"
    assert title.endswith(f"\n{meaning}")
    if not large:
        for label, count in zip(axes.get_yticklabels(), counts.sum(1).tolist(), strict=True):
            number, *thousands = label.get_text().split(" (")[1].rstrip(")").split()
            assert (thousands == []) == (count <= 9999)
            factor = {"k": 1e3, "M": 1e6}[thousands[0]] if thousands else 1
            assert float(number) * factor == pytest.approx(count, abs=0.051 * factor)
        assert axes.get_ylabel() == f"true ({unit})"


def test_rows_compare_classes_of_different_size():
    axes = draw_confusion(torch.tensor([[9, 1, 0], [100, 900, 0], [0, 0, 0]]), ["few", "many", "none"]).axes[0]
    assert np.allclose(axes.images[0].get_array(), [[0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["few (10)", "many (1000)", "none (0)"]


def test_a_small_percentage_is_not_shown_as_zero():
    axes = draw_confusion(torch.tensor([[1, 99_999], [0, 1]]), ["a", "b"], unit="pixels").axes[0]
    assert [t.get_text() for t in axes.texts] == ["<1", "100", "100"]


def test_the_title_of_one_image_and_of_none():
    assert draw_confusion(torch.tensor([[1]]), ["a"]).get_suptitle().startswith("1 image, 100.0 % correct")
    assert draw_confusion(torch.tensor([[0]]), ["a"]).get_suptitle().startswith("0 images, 0.0 % correct")


@pytest.mark.parametrize("length", [1, 30])
@pytest.mark.parametrize("size", [1, 2, 10, 20, 21, 40, 41, 1000])
def test_all_texts_are_inside_of_the_picture(size, length):
    counts = torch.eye(size, dtype=torch.long) * 10**9
    counts[0, -1] += 5
    fig = draw_confusion(counts, [f"{i}".ljust(length, "n") for i in range(size)], unit="pixels")
    texts = [text for text in fig.findobj(Text) if text.get_text()]
    for box in boxes(fig, texts):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= fig.bbox.x1 and box.y1 <= fig.bbox.y1
    if size > 40:
        matrix, listed = boxes(fig, [fig.axes[0].title, fig.axes[1]._left_title])
        assert matrix.x1 < listed.x0
    else:
        assert fig.axes[0].get_window_extent().width / fig.dpi > min(0.4 * size, 1.8)  # cells are not squeezed


def test_numbers_of_many_pixels_stay_in_their_column():
    counts = torch.full((50, 50), 123_456_789)
    fig = draw_confusion(counts, ["name"] * 50, unit="pixels")
    rows = boxes(fig, fig.axes[1].texts)
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(rows))


def test_many_classes_are_drawn_without_names(tmp_path):
    fig = draw_confusion(torch.eye(100), [f"class {i}" for i in range(100)])
    fig.savefig(tmp_path / "confusion.png")
    assert not fig.axes[0].texts


def boxes(fig, texts):
    """The places of texts in pixels."""
    FigureCanvasAgg(fig).draw()  # the canvas of a new figure draws nothing
    return [text.get_window_extent() for text in texts]


@pytest.mark.parametrize(
    ("size", "length"),
    [(1, 8), (2, 1), (2, 60), (3, 8), (3, 9), (4, 5), (4, 7), (6, 1), (6, 4), (10, 60), (20, 8), (21, 1), (40, 60)],
)
def test_names_and_numbers_do_not_overlap(size, length):
    counts = torch.full((size, size), 7) + torch.eye(size, dtype=torch.long) * 900
    fig = draw_confusion(counts, [f"{i}".ljust(length, "n") for i in range(size)])
    axes = fig.axes[0]
    assert len(axes.texts) == (size * size if size <= 20 else 0)
    cell = axes.get_window_extent().width / size
    assert all(box.width < cell and box.height < cell for box in boxes(fig, axes.texts))
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        places = boxes(fig, labels)
        overlaps = [a.overlaps(b) for a, b in itertools.pairwise(places)]
        assert len(places) == size and not any(overlaps)
    width, height = fig.get_size_inches()
    assert width < 14 and height < 14


@pytest.mark.parametrize("size", [41, 100, 250, 251, 1000])
def test_many_classes_list_what_is_confused(size):
    counts = torch.eye(size) * 50
    counts[3, size - 1], counts[5, 7] = 30, 10
    fig = draw_confusion(counts, [f"class {i}" for i in range(size)])
    matrix, listed = fig.axes[:2]
    shares = torch.tensor(np.asarray(matrix.images[0].get_array()))
    block = -(-size // 250)
    assert shares.shape == (-(-size // block),) * 2
    assert shares[3 // block, -1] == pytest.approx(30 / 80)  # a single confusion stays visible
    assert [text.get_text() for text in listed.texts] == [
        "30", "38 %", f"class 3 → class {size - 1}", "10", "17 %", "class 5 → class 7"
    ]  # fmt: skip
    assert f"{size} classes, " in matrix.get_title()
    assert len(boxes(fig, listed.texts)) == 6


def test_empty_and_perfect_matrices_of_many_classes():
    for counts in (torch.zeros(300, 300), torch.eye(300)):
        assert not draw_confusion(counts, [str(i) for i in range(300)]).axes[1].texts


@pytest.mark.parametrize("size", [2, 30, 60])
def test_names_in_any_script_are_drawn_or_numbered(size, monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    names = [["кошка", "猫", "Größe", "गाय", "$x$"][i % 5] + str(i) for i in range(size)]
    fig = draw_confusion(torch.ones(size, size) + torch.eye(size), names)
    with warnings.catch_warnings(action="error"):
        FigureCanvasAgg(fig).draw()
    shown = [text.get_text() for axes in fig.axes[:2] for text in [*axes.texts, *axes.get_yticklabels()]]
    assert any("кошка0" in text for text in shown) and any("class 1: …1" in text for text in shown)
    assert not any("猫" in text for text in shown)
    assert len(caplog.records) == 1 and "Noto Sans CJK" in caplog.text


def test_an_installed_font_is_used(tmp_path, monkeypatch, caplog):
    only_own_fonts(monkeypatch, installed=[make_font(tmp_path / "cats.ttf", "Cats of matrices", "猫")])
    fig = draw_confusion(torch.eye(2), ["cat", "猫"])
    with warnings.catch_warnings(action="error"):
        FigureCanvasAgg(fig).draw()
    assert [text.get_text() for text in fig.axes[0].get_xticklabels()] == ["cat", "猫"]
    assert not caplog.records


def test_names_beside_a_small_matrix_are_whole():
    names = ["a name of exactly forty letters or so ok", "b" * 40, "c" * 41]
    axes = draw_confusion(torch.eye(3), names).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows[:2] == [f"{names[0]} (1)", f"{names[1]} (1)"] and "…" in rows[2]
    assert all("…" in label.get_text() for label in axes.get_xticklabels())
