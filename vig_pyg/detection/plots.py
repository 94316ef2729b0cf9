"""Pictures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vig_pyg._plot import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curves(rows: list[dict[str, float]]) -> Figure:
    """Losses and average precision over the epochs.

    Args:
        rows: One for each epoch with `epoch`, `train_...` and, where it was measured, `val_...` (see `fit`).
    """
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for name in (name for name in rows[0] if name.startswith("train_")):
        label = name.removeprefix("train_").replace("_", " ")
        left.plot(epochs, [row[name] for row in rows], marker=".", label="sum" if label == "loss" else label)
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    left.legend(frameon=False, fontsize=8)
    shown = ["val_AP50", "val_AP", "val_mask_AP50", "val_mask_AP"]
    for name in shown:
        points = [(row["epoch"], 100 * row[name]) for row in rows if name in row]
        if points:
            label = f"{name.removeprefix('val_').replace('_', ' ')}: {points[-1][1]:.1f} % at the end"
            right.plot(*zip(*points, strict=True), marker=".", label=label)
    right.set(xlabel="epoch", ylabel="average precision, %", ylim=(0, 100))
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return fig
