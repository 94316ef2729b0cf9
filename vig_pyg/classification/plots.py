"""Pictures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vig_pyg._io.text import plot_text
from vig_pyg._plot import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curves(rows: list[dict[str, float]]) -> Figure:
    """Loss and accuracy over the epochs.

    Args:
        rows: One for each epoch with `epoch`, `train_loss`, `val_loss`, `val_accuracy`.
    """
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for name, label in (("train_loss", "training"), ("val_loss", "held out")):
        left.plot(epochs, [row[name] for row in rows], marker=".", label=label)
    left.set(xlabel="epoch", ylabel="cross entropy", yscale="log")
    left.legend(frameon=False)
    accuracy = [100 * row["val_accuracy"] for row in rows]
    right.plot(epochs, accuracy, marker=".", color="C1")
    right.set(xlabel="epoch", ylabel="held-out accuracy, %", title=f"last epoch: {accuracy[-1]:.2f} %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def draw_confusion(counts: Tensor, class_names: list[str]) -> Figure:
    """The confusion matrix.

    Args:
        counts: Images of class i that were called class j, `(classes, classes)`.
        class_names: Names of the classes, with any characters.
    """
    size = len(class_names)
    side = min(3.5 + 0.32 * size, 24)
    fig = figure(side, side * 0.92)
    axes = fig.subplots()
    share = counts / counts.sum(1, keepdim=True).clamp_min(1)
    image = axes.imshow(share.cpu().numpy(), cmap="Blues", vmin=0, vmax=1)
    fig.colorbar(image, ax=axes, label="share of the class", shrink=0.8)
    if size <= 40:
        labels = [plot_text(name) for name in class_names]
        rotation = 90 if max(map(len, labels)) > 2 else 0
        axes.set_xticks(range(size), labels, rotation=rotation)
        axes.set_yticks(range(size), labels)
    if size <= 20:
        for i in range(size):
            for j in range(size):
                if counts[i, j]:
                    color = "white" if share[i, j] > 0.5 else "black"
                    axes.text(j, i, str(int(counts[i, j])), ha="center", va="center", color=color, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    return fig
