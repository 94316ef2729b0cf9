import itertools
import warnings

import numpy as np
import pytest
import torch

from tests._fonts.installed import make_font, only_own_fonts
from vig_pyg.classification.plots import draw_confusion


def test_confusion_shows_counts_and_shares():
    axes = draw_confusion(torch.tensor([[3, 1], [0, 4]]), ["cat", "dog"]).axes[0]
    assert [t.get_text() for t in axes.texts] == ["3", "1", "4"]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]


def test_many_classes_are_drawn_without_names(tmp_path):
    fig = draw_confusion(torch.eye(100), [f"class {i}" for i in range(100)])
    fig.savefig(tmp_path / "confusion.png")
    assert not fig.axes[0].texts


def boxes(fig, texts):
    """The places of texts in pixels."""
    fig.canvas.draw()
    return [text.get_window_extent() for text in texts]


@pytest.mark.parametrize(
    ("size", "length"), [(1, 8), (2, 1), (2, 60), (3, 8), (6, 1), (10, 60), (20, 8), (21, 1), (40, 60)]
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
        fig.canvas.draw()
    shown = [text.get_text() for axes in fig.axes[:2] for text in [*axes.texts, *axes.get_yticklabels()]]
    assert any("кошка0" in text for text in shown) and any("class 1: …1" in text for text in shown)
    assert not any("猫" in text for text in shown)
    assert len(caplog.records) == 1 and "Noto Sans CJK" in caplog.text


def test_an_installed_font_is_used(tmp_path, monkeypatch, caplog):
    only_own_fonts(monkeypatch, installed=[make_font(tmp_path / "cats.ttf", "Cats of matrices", "猫")])
    fig = draw_confusion(torch.eye(2), ["cat", "猫"])
    with warnings.catch_warnings(action="error"):
        fig.canvas.draw()
    assert [text.get_text() for text in fig.axes[0].get_xticklabels()] == ["cat", "猫"]
    assert not caplog.records
