import torch

from vig_pyg.classification.plots import draw_confusion


def test_confusion_shows_counts_and_shares():
    axes = draw_confusion(torch.tensor([[3, 1], [0, 4]]), ["cat", "dog"]).axes[0]
    assert [t.get_text() for t in axes.texts] == ["3", "1", "4"]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]


def test_many_classes_are_drawn_without_names(tmp_path):
    fig = draw_confusion(torch.eye(100), [f"class {i}" for i in range(100)])
    fig.savefig(tmp_path / "confusion.png")
    assert not fig.axes[0].texts
