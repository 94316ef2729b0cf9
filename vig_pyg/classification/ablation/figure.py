"""The figure of an ablation: the scores of all seeds with confidence intervals, beside the speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vig_pyg._figure import figure
from vig_pyg._fonts import plot_names
from vig_pyg._palette import BLUE, GRAY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_ablation(rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Draw the score of every seed, with mean and confidence interval, beside the speed.

    Args:
        rows: The rows of `vig_pyg.classification.ablation.report.summary`; the first is the baseline.
        scores: The scores of each variant, one for each seed, in percent.

    Example:
        >>> row = {"variant": "mr", "top1_mean": 90, "top1_low": None, "top1_high": None, "images_per_second": 9}
        >>> len(draw_ablation([row], {"mr": [90]}, "operators").axes)
        2
    """
    fig = figure(9, 1.4 + 0.34 * len(rows))
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    left.axvline(rows[0]["top1_mean"], color=GRAY, linewidth=0.8, linestyle="--")
    for y, row in enumerate(rows):
        top1, mean = scores[row["variant"]], row["top1_mean"]
        left.plot(top1, [y] * len(top1), "o", color=BLUE, alpha=0.4, markersize=5, clip_on=False)
        known = row["top1_low"] is not None
        error = [[mean - row["top1_low"]], [row["top1_high"] - mean]] if known else None
        left.errorbar(mean, y, xerr=error, fmt="|", color=BLUE, markersize=12, capsize=4)
    bars = right.barh(range(len(rows)), [row["images_per_second"] for row in rows], color=ORANGE, height=0.6)
    right.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize="small")
    right.margins(x=0.25)  # room for the numbers
    names, fonts = plot_names([row["variant"] for row in rows], word="variant")
    left.set_yticks(range(len(rows)), names, fontfamily=fonts)
    left.invert_yaxis()
    low, high = left.get_xlim()
    left.set_xlim(max(low, 0), min(high, 100) if high > 100 else high)
    several = any(row["top1_low"] is not None for row in rows)
    left.set(xlabel=f"validation top-1, %: {'seeds, mean, 95 % confidence interval' if several else 'one seed each'}")
    (shown,), fonts = plot_names([title], word="data")
    left.set_title(shown, fontfamily=fonts)
    right.set(xlabel="images/s, inference")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return fig
