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
#: If the largest loss is more than this many times the smallest, the axis is logarithmic.
_RANGE = 10


def draw_curves(rows: list[dict[str, float]], *, steps: int | None = None, val_images: int | None = None) -> Figure:
    """Draw the losses and the scores over the epochs; the titles say if they are coarse because they rest on little.

    Args:
        rows: One row per epoch with `epoch`, `train_...` and, for evaluated epochs, `val_...`.
        steps: Number of training steps of all epochs; fewer than 100 are mentioned.
        val_images: Number of validation images; fewer than 100 are mentioned.

    Example:
        >>> len(draw_curves([{"epoch": 1, "train_loss": 2.0, "val_loss": 1.9, "val_accuracy": 0.5}]).axes)
        2
    """
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    losses = [name for name in rows[0] if name.startswith("train_")]
    drawn: list[float] = []
    for i, name in enumerate(losses + ["val_loss"] * any("val_loss" in row for row in rows)):
        label = {"train_loss": "training" if len(losses) == 1 else "training, sum", "val_loss": "validation"}.get(
            name, name.removeprefix("train_").replace("_", " ")
        )
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        _line(left, points, i, label)
        drawn += [loss for _, loss in points]
    left.set(xlabel="epoch", ylabel="loss (no unit)")
    _scale(left, drawn)
    shown = [(name, label) for name, label in SCORES.items() if any(name in row for row in rows)]
    for i, (name, label) in enumerate(shown):
        points = [(row["epoch"], 100 * row[name]) for row in rows if name in row]
        _line(right, points, i, f"{label}: {points[-1][1]:.2f} % at the end")
    right.set(xlabel="epoch", ylabel="score (%)")
    _plain(right)
    for axes in (left, right):
        _epochs(axes, [row["epoch"] for row in rows])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    if steps is not None and steps < _STEPS:
        _remark(left, f"coarse: {counted(steps, 'training steps')}")
    if val_images is not None and (few := few_images(val_images, shares="val_accuracy" in dict(shown))):
        _remark(right, f"coarse: {few}")
    return fig


def _line(axes: Any, points: Sequence[tuple[float, float]], i: int, label: str) -> None:
    """Draw a line in the i-th color; after all colors have been used, it is dashed."""
    style = ("-", "--", ":")[i // len(SERIES) % 3]
    axes.plot(*zip(*points, strict=True), marker=".", linestyle=style, color=SERIES[i % len(SERIES)], label=label)


def _remark(axes: Any, text: str) -> None:
    axes.set_title(text, fontsize=9, color=GRAY, loc="left")


def _epochs(axes: Any, epochs: Sequence[float]) -> None:
    """Show whole epochs only, also if there is one; there is neither epoch 0 nor 1.5."""
    from matplotlib.ticker import MaxNLocator

    first, last = min(epochs), max(epochs)
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
