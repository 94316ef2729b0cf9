"""Plots of the losses and scores of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vig_pyg._figure import figure
from vig_pyg._io.numbers import counted, few_images
from vig_pyg._palette import GRAY, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Scores from 0 to 1 that are drawn if they exist.
SCORES = {
    "val_accuracy": "validation accuracy",
    "val_AP50": "AP50",
    "val_AP": "AP",
    "val_mask_AP50": "mask AP50",
    "val_mask_AP": "mask AP",
    "val_mIoU": "mean IoU",
    "val_pixel_accuracy": "pixel accuracy",
}
#: A loss of fewer steps than these is still near its start, and jumps.
_STEPS = 100
#: Numbers from this one to its inverse have no exponent.
_SMALLEST = 1e-15
#: Largest number of points of a line, and of points that are marked.
_POINTS, _MARKED = 200, 60
#: If the largest loss is more than this many times the smallest, the axis is logarithmic.
_RANGE = 10


def draw_curves(
    rows: list[dict[str, float]],
    *,
    steps: int | None = None,
    val_images: int | None = None,
    step_losses: Sequence[dict[str, float]] = (),
    note: str = "",
) -> Figure:
    """Draw the losses and the scores over the epochs; the titles say if they rest on few steps or images.

    For one epoch, the losses of its steps are drawn, and for one evaluation, its scores as markers with their values.

    Args:
        rows: One row per epoch with `epoch`, `train_...` and, for evaluated epochs, `val_...`.
        steps: Number of training steps of all epochs; fewer than 100 are mentioned.
        val_images: Number of validation images; fewer than 100 are mentioned.
        step_losses: The values `train_...` of each step, if there is one epoch.
        note: How the losses are to be read, shown below the axes.

    Example:
        >>> len(draw_curves([{"epoch": 1, "train_loss": 2.0, "val_loss": 1.9, "val_accuracy": 0.5}]).axes)
        2
    """
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    _draw_losses(left, rows, step_losses if len(rows) == 1 else ())
    shown = [(name, label) for name, label in SCORES.items() if any(name in row for row in rows)]
    evaluated = [row for row in rows if any(name in row for name, _ in shown)]
    if len(evaluated) == 1:
        row = evaluated[0]
        _draw_scores(right, [(label, _percent(row[name])) for name, label in shown if name in row], row["epoch"])
    else:
        for i, (name, label) in enumerate(shown):
            points = [(row["epoch"], _percent(row[name])) for row in evaluated if name in row]
            _line(right, points, i, f"{label}: {_score_text(points[-1][1])} at the end")
        right.set(xlabel="epoch", ylabel="score (%)")
        _plain(right)
        _whole(right, [row["epoch"] for row in rows])
        right.grid(alpha=0.3)
        _legend(right)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    if steps is not None and steps < _STEPS:
        _remark(left, f"only {counted(steps, 'training steps')}")
    if val_images is not None and (few := few_images(val_images, shares="val_accuracy" in dict(shown))):
        _remark(right, f"only {few}")
    if note:
        fig.supxlabel(note, fontsize=8, color=GRAY)
    return fig


def _draw_losses(axes: Any, rows: Sequence[dict[str, float]], steps: Sequence[dict[str, float]]) -> None:
    """Draw the losses over the epochs, or over the steps of a single epoch, of which only so many are drawn."""
    losses = [name for name in rows[0] if name.startswith("train_")]
    by_step, each = len(steps) > 1, -(-len(steps) // _POINTS)
    drawn: list[float] = []
    for i, name in enumerate(losses + ["val_loss"] * any("val_loss" in row for row in rows)):
        label = {"train_loss": "training" if len(losses) == 1 else "training, sum", "val_loss": "validation"}.get(
            name, name.removeprefix("train_").replace("_", " ")
        )
        if by_step and name in losses:
            points = _means([step[name] for step in steps], each)
        else:
            points = [(len(steps) if by_step else row["epoch"], row[name]) for row in rows if name in row]
        _line(axes, points, i, label)
        drawn += [loss for _, loss in points]
    every = f", means of {each} steps" if each > 1 else ""
    axes.set(xlabel="training step" if by_step else "epoch", ylabel=f"loss (no unit){every}")
    _scale(axes, drawn)
    _whole(axes, [1, len(steps)] if by_step else [row["epoch"] for row in rows])
    axes.grid(alpha=0.3)
    _legend(axes)


def _draw_scores(axes: Any, scores: Sequence[tuple[str, float]], epoch: float) -> None:
    """Draw the scores of a single evaluation in percent: one row for each, which needs no second epoch."""
    for y, (_, value) in enumerate(scores):
        color, shown = SERIES[y % len(SERIES)], 0.0 if math.isnan(value) else value
        axes.hlines(y, 0, shown, color=color, linewidth=2)
        axes.plot([shown], [y], "o", color=color, clip_on=False)
        axes.annotate(_score_text(value), (shown, y), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(scores)), [label for label, _ in scores])
    axes.set_xticks(range(0, 101, 20))
    axes.set(
        xlim=(0, 135), ylim=(len(scores) - 0.5, -0.5), xlabel=f"score after epoch {epoch:.0f} (%)"
    )  # room for text
    axes.grid(axis="x", alpha=0.3)


def _percent(score: float) -> float:
    """Return a score in percent; COCO's scores are -1 without objects, which is no number to draw."""
    return 100 * score if score >= 0 else math.nan


def _score_text(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.2f} %"


def _means(values: Sequence[float], each: int) -> list[tuple[float, float]]:
    """Return the means of so many values after one another, each at the middle of their numbers, which start at 1."""
    parts = [(i, values[i : i + each]) for i in range(0, len(values), each)]
    return [(i + (len(part) + 1) / 2, sum(part) / len(part)) for i, part in parts]


def _line(axes: Any, points: Sequence[tuple[float, float]], i: int, label: str) -> None:
    """Draw a line in the i-th color, or a marker with its value; after all colors have been used, lines are dashed."""
    style, color = ("-", "--", ":")[i // len(SERIES) % 3], SERIES[i % len(SERIES)]
    if len(points) == 1:
        label, style = f"{label}: {plain_number(float(f'{points[0][1]:.4g}'))}", "none"
    marker = "os^"[i // len(SERIES) % 3] if len(points) == 1 else "." if len(points) <= _MARKED else ""
    clip = len(points) > 1  # a marker at the edge is drawn as a whole
    axes.plot(*zip(*points, strict=True), marker=marker, linestyle=style, color=color, label=label, clip_on=clip)


def _legend(axes: Any) -> None:
    """Draw the legend of the lines; of more than three, below the axes, where it covers none of them."""
    if not axes.lines:
        return
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 3} if len(axes.lines) > 3 else {}
    axes.legend(frameon=False, fontsize=8, **below)


def _remark(axes: Any, text: str) -> None:
    axes.set_title(text, fontsize=9, color=GRAY, loc="left")


def _whole(axes: Any, numbers: Sequence[float]) -> None:
    """Show whole epochs or steps only, also if there is one; there is neither epoch 0 nor 1.5."""
    from matplotlib.ticker import MaxNLocator

    first, last = min(numbers), max(numbers)
    margin = 0.5 + 0.01 * (last - first)
    axes.set_xlim(max(first - margin, 0.5), last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    _plain(axes, "x")


def _plain(axes: Any, which: str = "y") -> None:
    """Write the ticks of an axis as plain numbers such as 0.5 and 200."""
    from matplotlib.ticker import FuncFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))


def _scale(axes: Any, values: Sequence[float]) -> None:
    """Choose a linear axis, or a logarithmic one for a large range, with plain numbers."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > _RANGE * min(finite):
        axes.set_yscale("log")
        decades = math.log10(max(finite) / min(finite))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,), numticks=12))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    _plain(axes)


def plain_number(value: float) -> str:
    """Return a number without an exponent, such as `"0.002"` or `"5000"`; only with more than 15 zeros it has one.

    Example:
        >>> plain_number(2.3e-3), plain_number(5e3), plain_number(0.0)
        ('0.0023', '5000', '0')
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if not _SMALLEST <= abs(value) < 1 / _SMALLEST:  # a loss that diverges: its digits would fill the figure
        return f"{value:.3g}"
    digits = max(0, 5 - math.floor(math.log10(abs(value))))  # six significant digits
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
