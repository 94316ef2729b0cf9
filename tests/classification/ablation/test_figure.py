import io

import pytest

from vig_pyg.classification.ablation.figure import draw_ablation


def rows(count, *, seeds):
    return [
        {
            "variant": f"variant $ {i}",
            "top1_mean": 80 + i,
            "top1_low": 78.0 + i if seeds > 1 else None,
            "top1_high": 82.0 + i if seeds > 1 else None,
            "images_per_second": 100 + i,
        }
        for i in range(count)
    ]


@pytest.mark.parametrize(("count", "seeds"), [(1, 1), (2, 3), (30, 3)])
def test_every_seed_and_interval_is_drawn(count, seeds):
    shown = rows(count, seeds=seeds)
    fig = draw_ablation(shown, {row["variant"]: [row["top1_mean"]] * seeds for row in shown}, "a title")
    left, right = fig.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [f"variant \\$ {i}" for i in range(count)]
    points = [line for line in left.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in points] == [seeds] * count
    assert len(right.patches) == count and left.get_title() == "a title"
    assert [text.get_text() for text in right.texts] == [f"{row['images_per_second']:,}" for row in shown]
    fig.savefig(io.BytesIO(), format="png")


def test_a_wide_interval_does_not_show_impossible_accuracies():
    row = {"variant": "a", "top1_mean": 50.0, "top1_low": -30.0, "top1_high": 130.0, "images_per_second": 1.0}
    low, high = draw_ablation([row], {"a": [49.0, 51.0]}, "t").axes[0].get_xlim()
    assert (low, high) == (0, 100)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_axis_names_an_interval_only_if_there_is_one(seeds):
    low, high = (None, None) if seeds == 1 else (88.0, 92.0)
    row = {"variant": "mr", "top1_mean": 90, "top1_low": low, "top1_high": high, "images_per_second": 9}
    label = draw_ablation([row], {"mr": [90] * seeds}, "operators").axes[0].get_xlabel()
    assert ("interval" in label) == (seeds > 1) and ("one seed" in label) == (seeds == 1)
