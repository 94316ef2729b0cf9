"""Plots of the losses and scores of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vig_pyg._figure import figure

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


def draw_curves(rows: list[dict[str, float]]) -> Figure:
    """Draw the losses and the scores over the epochs.

    Args:
        rows: One row per epoch with `epoch`, `train_...` and, for evaluated epochs, `val_...`.

    Example:
        >>> len(draw_curves([{"epoch": 1, "train_loss": 2.0, "val_loss": 1.9, "val_accuracy": 0.5}]).axes)
        2
    """
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    losses = [name for name in rows[0] if name.startswith("train_")]
    for name in losses + ["val_loss"] * any("val_loss" in row for row in rows):
        label = {"train_loss": "training" if len(losses) == 1 else "training, sum", "val_loss": "validation"}.get(
            name, name.removeprefix("train_").replace("_", " ")
        )
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        left.plot(*zip(*points, strict=True), marker=".", label=label)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    left.legend(frameon=False, fontsize=8)
    for name, label in SCORES.items():
        points = [(row["epoch"], 100 * row[name]) for row in rows if name in row]
        if points:
            right.plot(*zip(*points, strict=True), marker=".", label=f"{label}: {points[-1][1]:.2f} % at the end")
    right.set(xlabel="epoch", ylabel="score, %")
    if right.lines:
        right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return fig
