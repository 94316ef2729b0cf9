"""Plot of the confusion matrix of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from vig_pyg._figure import figure
from vig_pyg._fonts import plot_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of classes whose names are shown at the axes, and whose cells hold numbers.
_NAMES, _NUMBERS = 40, 20
#: Largest side of the matrix in cells; a cell of a larger matrix would have less than two pixels.
_CELLS = 250
#: Number of confusions in the list beside a large matrix.
_LISTED = 20


def draw_confusion(counts: Tensor, class_names: list[str]) -> Figure:
    """Draw a confusion matrix; beside a large one, the most frequent confusions are listed by name.

    Args:
        counts: Number of images or pixels of class i that were predicted as class j, `(classes, classes)`. Numbers of
            more than four digits are shown as percent of the class.
        class_names: Names of the classes, with any characters; a class whose name no installed font can show is drawn
            as its number, with a warning.

    Shapes: `(classes, classes)`.

    Example:
        >>> import torch
        >>> draw_confusion(torch.eye(2), ["cat", "dog"]).axes[0].get_xlabel()
        'predicted'
    """
    size = len(class_names)
    counts = counts.cpu()
    share = counts / counts.sum(1, keepdim=True).clamp_min(1)
    if size > _NAMES:
        return _draw_large(counts, share, class_names)
    side = 2.6 + max((0.42 if size <= _NUMBERS else 0.24) * size, 1.6)
    fig = figure(side, side * 0.92)
    axes = fig.subplots()
    image = axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    fig.colorbar(image, ax=axes, label="share of the class", shrink=0.8)
    labels, fonts = plot_names(class_names, limit=24)
    level = max(map(len, labels)) <= max(2, 36 // size)  # short names fit side by side
    axes.set_xticks(range(size), labels, rotation=0 if level else 90, fontfamily=fonts)
    axes.set_yticks(range(size), labels, fontfamily=fonts)
    axes.tick_params(labelsize=10 if size <= _NUMBERS else 8)
    if size <= _NUMBERS:
        _write_numbers(axes, counts, share)
    axes.set(xlabel="predicted", ylabel="true")
    return fig


def _write_numbers(axes: Any, counts: Tensor, share: Tensor) -> None:
    """Write the count, or the percentage of the class, into each cell that is not 0."""
    percent = int(counts.max()) > 9999
    fontsize = 13 if len(counts) <= 3 else 10 if len(counts) <= 6 else 8
    for i, j in counts.nonzero().tolist():
        color = "white" if share[i, j] > 0.5 else "black"
        label = f"{100 * float(share[i, j]):.0f}" if percent else str(int(counts[i, j]))
        axes.text(j, i, label, ha="center", va="center", color=color, fontsize=fontsize)


def _draw_large(counts: Tensor, share: Tensor, class_names: list[str]) -> Figure:
    """Draw the matrix without names, and list the most frequent confusions beside it."""
    from matplotlib.colors import PowerNorm

    size = len(class_names)
    fig = figure(14, 7.4)
    axes, listed = fig.subplots(1, 2, width_ratios=[1.25, 1])
    block = -(-size // _CELLS)
    cells = max_pool2d(share[None, None].float(), block, ceil_mode=True)[0, 0]  # a single confusion stays visible
    # the root makes small shares visible
    image = axes.imshow(cells.numpy(), cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), extent=(0, size, size, 0))
    bar = fig.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    largest = f"largest share of the class in {block} x {block} classes" if block > 1 else "share of the class"
    bar.set_label(largest)
    bar.ax.set_yticklabels(["0", "1 %", "5 %", "10 %", "25 %", "50 %", "100 %"])
    correct = float(counts.diagonal().sum() / counts.sum().clamp_min(1))
    axes.set(xlabel="predicted class, by number", ylabel="true class, by number")
    axes.set_title(f"{size} classes, {100 * correct:.1f} % correct", fontsize=10)
    listed.axis("off")
    listed.set_title("most frequent confusions: true → predicted", fontsize=10, loc="left")
    labels, fonts = plot_names(class_names, limit=24)
    for row, (i, j) in enumerate(_confused(counts)):
        names = f"{labels[i]} → {labels[j]}"
        y = 1 - (row + 1) / (_LISTED + 1)
        listed.text(0.0, y, f"{int(counts[i, j])}", ha="left", fontsize=9, transform=listed.transAxes)
        listed.text(0.1, y, f"{100 * float(share[i, j]):.0f} %", ha="left", fontsize=9, transform=listed.transAxes)
        listed.text(0.21, y, names, ha="left", fontsize=9, transform=listed.transAxes, fontfamily=fonts)
    return fig


def _confused(counts: Tensor) -> list[tuple[int, int]]:
    """Return the pairs (true, predicted) of different classes with the largest counts, without zeros."""
    others = counts * (1 - torch.eye(len(counts), dtype=counts.dtype))
    values, index = others.flatten().topk(min(_LISTED, others.numel()))
    return [divmod(int(i), len(counts)) for value, i in zip(values, index, strict=True) if value > 0]
