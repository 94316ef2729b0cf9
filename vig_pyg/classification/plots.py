"""Plot of the confusion matrix of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vig_pyg._figure import figure
from vig_pyg._io.text import plot_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_confusion(counts: Tensor, class_names: list[str]) -> Figure:
    """Draw a confusion matrix.

    Args:
        counts: Number of images or pixels of class i that were predicted as class j, `(classes, classes)`. Numbers of
            more than four digits are shown as percent of the class.
        class_names: Names of the classes, with any characters.

    Example:
        >>> import torch
        >>> draw_confusion(torch.eye(2), ["cat", "dog"]).axes[0].get_xlabel()
        'predicted'
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
    percent = int(counts.max()) > 9999
    if size <= 20:
        for i in range(size):
            for j in range(size):
                if counts[i, j]:
                    color = "white" if share[i, j] > 0.5 else "black"
                    label = f"{100 * float(share[i, j]):.0f}" if percent else str(int(counts[i, j]))
                    axes.text(j, i, label, ha="center", va="center", color=color, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    return fig
