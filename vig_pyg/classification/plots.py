"""Plot of the confusion matrix of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from vig_pyg._figure import figure
from vig_pyg._fonts import plot_names
from vig_pyg._io.numbers import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of classes whose names are shown at the axes, and whose cells hold numbers.
_NAMES, _NUMBERS = 40, 20
#: Largest number of letters of a name beside a matrix with numbers.
_FULL = 40
#: Largest side of the matrix in cells; a cell of a larger matrix would have less than two pixels.
_CELLS = 250
#: Largest count that is written with all its digits.
_COUNT = 9999
#: Number of confusions in the list beside a large matrix.
_LISTED = 20


def draw_confusion(counts: Tensor, class_names: list[str], *, unit: str = "images") -> Figure:
    """Draw a confusion matrix; beside a large one, the most frequent confusions are listed by name.

    The color of a cell is a share of its row, so that classes of different size can be compared. The title says what
    the numbers in the cells are: counts, or percent of the row if a count has more than four digits.

    Args:
        counts: Number of images or pixels of class i that were predicted as class j, `(classes, classes)`.
        class_names: Names of the classes, with any characters; a class whose name no installed font can show is drawn
            as its number, with a warning.
        unit: What is counted, in the plural: `"images"` or `"pixels"`.

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
        return _draw_large(counts, share, class_names, unit)
    labels, fonts = plot_names(class_names, limit=24)
    full, _ = plot_names(class_names, limit=_FULL if size <= _NUMBERS else 24)  # beside the matrix, there is room
    rows = [f"{label} ({_short(int(count))})" for label, count in zip(full, counts.sum(1), strict=True)]
    letter, side = (0.087, max(0.42 * size, 2.0)) if size <= _NUMBERS else (0.075, 0.24 * size)  # inches
    longest = letter * max(map(len, labels))
    level = longest < side / size - 0.05  # names fit side by side
    below = 0.0 if level else longest
    fig = figure(max(side + letter * max(map(len, rows)) + 1.8, 4.4), side + below + 1.2)
    axes = fig.subplots()
    image = axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    _color_bar(fig, axes, image, "% of the true class", [0, 0.25, 0.5, 0.75, 1])
    axes.set_xticks(range(size), labels, rotation=0 if level else 90, fontfamily=fonts)
    axes.set_yticks(range(size), rows, fontfamily=fonts)
    axes.tick_params(labelsize=10 if size <= _NUMBERS else 8)
    meaning = "color: % of the true class"
    if size <= _NUMBERS:
        percent = int(counts.max()) > _COUNT
        meaning = f"numbers and {meaning}" if percent else f"numbers: {unit}; {meaning}"
        _write_numbers(axes, counts, share, percent)
    fig.suptitle(f"{_summary(counts, unit)}\n{meaning}", fontsize=9)
    axes.set(xlabel="predicted", ylabel=f"true ({unit})")
    return fig


def _summary(counts: Tensor, unit: str) -> str:
    total = int(counts.sum())
    return f"{counted(total, unit)}, {100 * float(counts.diagonal().sum()) / max(total, 1):.1f} % correct"


def _color_bar(fig: Figure, axes: Any, image: Any, label: str, ticks: list[float]) -> None:
    bar = fig.colorbar(image, ax=axes, label=label, shrink=0.8, ticks=ticks)
    bar.ax.set_yticklabels([f"{100 * tick:.0f} %" for tick in ticks])


def _write_numbers(axes: Any, counts: Tensor, share: Tensor, percent: bool) -> None:
    """Write the count, or the percentage of the class, into each cell that is not 0."""
    fontsize = 13 if len(counts) <= 3 else 10 if len(counts) <= 6 else 8
    for i, j in counts.nonzero().tolist():
        color = "white" if share[i, j] > 0.5 else "black"
        label = _percent(float(share[i, j])) if percent else str(int(counts[i, j]))
        axes.text(j, i, label, ha="center", va="center", color=color, fontsize=fontsize)


def _percent(share: float) -> str:
    """Return a share that is not 0 as percent without its sign."""
    return "<1" if share < 0.005 else f"{100 * share:.0f}"


def _short(count: int) -> str:
    """Return a count, from five digits on rounded, such as `"12.3 k"`."""
    from matplotlib.ticker import EngFormatter

    return str(count) if count <= _COUNT else EngFormatter(places=1)(count)


def _draw_large(counts: Tensor, share: Tensor, class_names: list[str], unit: str) -> Figure:
    """Draw the matrix without names, and list the most frequent confusions beside it."""
    from matplotlib.colors import PowerNorm

    size = len(class_names)
    fig = figure(14, 8)
    axes, listed = fig.subplots(1, 2, width_ratios=[1.15, 1])
    block = -(-size // _CELLS)
    cells = max_pool2d(share[None, None].float(), block, ceil_mode=True)[0, 0]  # a single confusion stays visible
    # the root makes small shares visible
    image = axes.imshow(cells.numpy(), cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), extent=(0, size, size, 0))
    largest = f", the largest of {block} x {block} classes" if block > 1 else ""
    _color_bar(fig, axes, image, f"% of the true class{largest}", [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    axes.set(xlabel="predicted class, by number", ylabel="true class, by number")
    axes.set_title(f"{size} classes, {_summary(counts, unit)}\ncolor: % of the true class", fontsize=10)
    listed.axis("off")
    heading = f"most frequent confusions:\n{unit}, % of the true class, true → predicted"
    listed.set_title(heading, fontsize=10, loc="left")
    labels, fonts = plot_names(class_names, limit=26)
    for row, (i, j) in enumerate(_confused(counts)):
        names = f"{labels[i]} → {labels[j]}"
        y = 1 - (row + 1) / (_LISTED + 1)
        listed.text(0.0, y, _short(int(counts[i, j])), ha="left", fontsize=9, transform=listed.transAxes)
        listed.text(0.14, y, f"{_percent(float(share[i, j]))} %", ha="left", fontsize=9, transform=listed.transAxes)
        listed.text(0.25, y, names, ha="left", fontsize=9, transform=listed.transAxes, fontfamily=fonts)
    return fig


def _confused(counts: Tensor) -> list[tuple[int, int]]:
    """Return the pairs (true, predicted) of different classes with the largest counts, without zeros."""
    others = counts * (1 - torch.eye(len(counts), dtype=counts.dtype))
    values, index = others.flatten().topk(min(_LISTED, others.numel()))
    return [divmod(int(i), len(counts)) for value, i in zip(values, index, strict=True) if value > 0]
