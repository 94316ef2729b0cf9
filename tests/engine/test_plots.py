import random
import re
import warnings

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vig_pyg.engine.plots import SCORES, draw_curves, plain_number


def test_curves_hold_the_numbers():
    rows = [{"epoch": e, "train_loss": 2 / e, "val_loss": 1 / e, "val_accuracy": 0.3 * e} for e in (1, 2, 3)]
    loss, accuracy = draw_curves(rows).axes
    assert loss.lines[0].get_ydata().tolist() == [2, 1, 2 / 3]
    assert loss.lines[1].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert "90.00" in accuracy.get_legend().get_texts()[0].get_text()


def test_curves_show_losses_and_precision_where_it_was_evaluated():
    rows = [
        {"epoch": 1, "train_loss": 3.0, "train_classification": 2.0, "train_bbox_regression": 1.0},
        {"epoch": 2, "train_loss": 2.0, "train_classification": 1.0, "train_bbox_regression": 1.0, "val_AP50": 0.5,
         "val_AP": 0.25, "val_mask_AP50": 0.75},
    ]  # fmt: skip
    rows += [{**rows[0], "epoch": 3}, {**rows[1], "epoch": 4}]
    losses, scores = draw_curves(rows).axes
    assert [list(line.get_ydata()) for line in losses.lines] == [[3, 2, 3, 2], [2, 1, 2, 1], [1, 1, 1, 1]]
    labels = [text.get_text() for text in losses.get_legend().get_texts()]
    assert labels == ["training, sum", "classification", "bbox regression"]
    assert [list(line.get_ydata()) for line in scores.lines] == [[50, 50], [25, 25], [75, 75]]
    assert [list(line.get_xdata()) for line in scores.lines] == [[2, 4]] * 3
    assert [t.get_text().split(":")[0] for t in scores.get_legend().get_texts()] == ["AP50", "AP", "mask AP50"]


def words(axes):
    """What is written in the axes, without titles and ticks."""
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    "scores",
    [
        {"val_accuracy": 0.9},
        {"val_AP50": 0.5, "val_AP": 0.25, "val_mask_AP50": 0.5, "val_mask_AP": 1.0},
        {"val_mIoU": 0.0, "val_pixel_accuracy": 0.125},
    ],
)
def test_a_single_evaluation_has_a_row_for_each_score(scores, tmp_path):
    """Two scores of the same height would otherwise be one dot at the end of an empty axis."""
    rows = [{"epoch": e, "train_loss": 1 / e, **(scores if e == 40 else {})} for e in range(1, 41)]
    fig = draw_curves(rows)
    axes = fig.axes[1]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines] == [
        (100 * score, i) for i, score in enumerate(scores.values())
    ]
    assert words(axes) == [f"{100 * score:.2f} %" for score in scores.values()]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [SCORES[name] for name in scores]
    assert axes.get_xlabel() == "score after epoch 40 (%)" and axes.get_legend() is None
    low, high = axes.get_xlim()
    assert low == 0 and high > 100
    fig.savefig(tmp_path / "curves.png")
    end = axes.get_window_extent().x1
    assert all(text.get_window_extent().x1 <= end for text in axes.texts)


@pytest.mark.parametrize(("name", "score"), [("val_mIoU", float("nan")), ("val_AP", -1.0)])  # COCO's -1: no object
def test_a_score_that_is_not_defined_is_no_point_beside_the_axes(name, score, tmp_path):
    rows = [{"epoch": e, "train_loss": 2.0, name: score} for e in (1, 2)]
    axes = draw_curves(rows[:1]).axes[1]
    assert words(axes) == ["not defined"] and axes.lines[0].get_xdata() == [0]
    fig = draw_curves(rows)
    assert "not defined at the end" in fig.axes[1].get_legend().get_texts()[0].get_text()
    fig.savefig(tmp_path / "curves.png")


def test_one_epoch_shows_its_steps():
    rows = [{"epoch": 1, "train_loss": 2.0, "val_loss": 1.25, "val_accuracy": 0.5}]
    losses, _ = draw_curves(rows, step_losses=[{"train_loss": x} for x in (3.0, 2.0, 1.0)]).axes
    training, validation = losses.lines
    assert training.get_xdata().tolist() == [1, 2, 3] and training.get_ydata().tolist() == [3, 2, 1]
    assert (validation.get_xdata().tolist(), validation.get_ydata().tolist()) == ([3], [1.25])
    assert validation.get_linestyle() == "None" and validation.get_marker() == "o"
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["training", "validation: 1.25"]
    assert losses.get_xlabel() == "training step"


@pytest.mark.parametrize("count", [2, 7, 200, 201, 1000, 12345])
def test_many_steps_are_drawn_as_means(count):
    steps = [{"train_loss": 5.0 + i, "train_box": 1.0} for i in range(count)]
    rows = [{"epoch": 1, "train_loss": 5.0, "train_box": 1.0}]
    fig = draw_curves(rows, step_losses=steps)
    axes = fig.axes[0]
    x, y = axes.lines[0].get_data()
    assert 2 <= len(x) <= 200 and len(axes.lines) == 2
    assert y == pytest.approx(x + 4)  # the mean of some steps stands in their middle
    assert ("means of" in axes.get_ylabel()) is (count > 200)
    assert axes.get_xlim()[0] < 1 and axes.get_xlim()[1] > count
    FigureCanvasAgg(fig).draw()


def test_steps_of_more_than_one_epoch_are_not_drawn():
    rows = [{"epoch": e, "train_loss": 2.0} for e in (1, 2)]
    axes = draw_curves(rows, step_losses=[{"train_loss": 1.0}] * 9).axes[0]
    assert axes.get_xlabel() == "epoch" and axes.lines[0].get_xdata().tolist() == [1, 2]


def test_one_step_is_a_marker_with_its_value():
    row = {"epoch": 1, "train_loss": 5495.123, "val_loss": 0.00012345}
    axes = draw_curves([row], step_losses=[{"train_loss": 5495.123}]).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training: 5495", "validation: 0.0001234"]
    assert [line.get_marker() for line in axes.lines] == ["o", "o"] and axes.get_xlabel() == "epoch"


def test_the_legend_of_many_lines_covers_none_of_them(tmp_path):
    names = ["train_loss", "train_a", "train_b", "train_c", "train_d", "train_e"]
    fig = draw_curves([{"epoch": e, **{name: 1.0 + i for i, name in enumerate(names)}} for e in range(1, 9)])
    fig.savefig(tmp_path / "curves.png")
    axes = fig.axes[0]
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0


def test_before_the_first_evaluation_there_are_losses_alone():
    losses, scores = draw_curves([{"epoch": 1, "train_loss": 3.0}]).axes
    assert len(losses.lines) == 1 and not scores.lines


@pytest.mark.parametrize("seed", range(12))
def test_axes_have_plain_numbers(seed):
    draw = random.Random(seed)
    scale, span = 10 ** draw.uniform(-4, 5), draw.choice([1.05, 2, 9, 15, 300, 1e5])
    rows = [{"epoch": e, "train_loss": scale * span ** -(e / 6), "val_accuracy": 0.1} for e in range(7)]
    fig = draw_curves(rows)
    FigureCanvasAgg(fig).draw()  # the canvas of a new figure draws nothing
    for axes in fig.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = [t.get_text() for t in axis.get_ticklabels() + axis.get_ticklabels(minor=True) if t.get_text()]
            assert all(re.fullmatch(r"[-−]?\d+(\.\d+)?", text) for text in shown), shown
            low, high = sorted(axis.get_view_interval())
            places = [t for t in axis.get_majorticklocs() if low <= t <= high]
            assert len(places) >= 2 and len({axis.get_major_formatter()(t) for t in places}) == len(places)
    assert (fig.axes[0].get_yscale() == "log") is (span > 10)


@pytest.mark.parametrize("first", [1, 7])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 17, 50, 300, 1000])
def test_epochs_are_whole_numbers(first, count):
    rows = [{"epoch": e, "train_loss": 1 / e, "val_accuracy": 0.5} for e in range(first, first + count)]
    fig = draw_curves(rows)
    FigureCanvasAgg(fig).draw()
    for axes in fig.axes[: 1 + (count > 1)]:  # the scores of one epoch have no axis of epochs
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert 1 <= len(shown) <= 10
        assert all(tick == round(tick) and first <= tick <= first + count for tick in shown)
        assert {axes.xaxis.get_major_formatter()(tick) for tick in shown} == {str(round(tick)) for tick in shown}
        assert low < first and high > first + count - 1  # no point at the edge


def test_axes_have_units():
    loss, score = draw_curves([{"epoch": e, "train_loss": 3.0, "val_mIoU": 0.5} for e in (1, 2)]).axes
    assert (loss.get_xlabel(), score.get_xlabel()) == ("epoch", "epoch")
    assert (loss.get_ylabel(), score.get_ylabel()) == ("loss (no unit)", "score (%)")


@pytest.mark.parametrize(
    ("steps", "images", "score", "said"),
    [
        (6, 5, "val_accuracy", ["only 6 training steps", "only 5 validation images, each counts 20.0 %"]),
        (1, 1, "val_accuracy", ["only 1 training step", "only 1 validation image"]),
        (99, 99, "val_accuracy", ["only 99 training steps", "only 99 validation images, each counts 1.0 %"]),
        (100, 8, "val_mIoU", ["", "only 8 validation images"]),
        (100, 100, "val_accuracy", ["", ""]),
        (None, None, "val_accuracy", ["", ""]),
    ],
)
def test_few_images_and_steps_are_mentioned(steps, images, score, said):
    fig = draw_curves([{"epoch": 1, "train_loss": 3.0, score: 0.5}], steps=steps, val_images=images)
    assert [axes.get_title(loc="left") for axes in fig.axes] == said


def test_the_note_on_the_losses_fits_below_the_axes():
    note = "The training loss has label smoothing 0.1 and mixed images: it is higher than the loss of plain labels. "
    fig = draw_curves([{"epoch": e, "train_loss": 3.0, "val_accuracy": 0.5} for e in (1, 2)], note=note + "And more.")
    FigureCanvasAgg(fig).draw()
    (shown,) = fig.texts
    box = shown.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= fig.bbox.width and box.y0 >= 0
    assert all(box.y1 <= axes.get_tightbbox().y0 for axes in fig.axes)
    assert not draw_curves([{"epoch": 1, "train_loss": 3.0}]).texts


@pytest.mark.parametrize("losses", [[0.0, 0.0], [-1.0, 5.0], [float("nan"), 1.0], [3.0], [2.0, 2.0]])
def test_odd_losses_are_drawn(losses, tmp_path):
    rows = [{"epoch": i + 1, "train_loss": loss} for i, loss in enumerate(losses)]
    fig = draw_curves(rows)
    fig.savefig(tmp_path / "curves.png")
    assert fig.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e-7, 123456.0, 0.1 + 0.2, 5495.0, 1e12, float("inf")])
def test_plain_numbers(value):
    text = plain_number(value)
    assert "e" not in text and float(text) == pytest.approx(value, rel=1e-5)
    assert not re.search(r"\.\d*0$|\.$", text)


@pytest.mark.parametrize("seed", range(6))
def test_losses_that_diverge_leave_room_for_the_curve(seed, tmp_path):
    draw = random.Random(seed)
    powers = [draw.uniform(-40, 40) for _ in range(4)] if seed else [30, 29, 25, 20]
    fig = draw_curves([{"epoch": i + 1, "train_loss": 10**power} for i, power in enumerate(powers)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns if no room is left
        fig.savefig(tmp_path / "curves.png")
    shown = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert shown and max(map(len, shown)) <= 18


@pytest.mark.parametrize("epochs", [1, 2])
def test_lines_have_different_looks(epochs):
    rows = [{"epoch": e + 1, **{f"train_{i}": 1.0 + i for i in range(20)}} for e in range(epochs)]
    lines = draw_curves(rows).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}) == 20
