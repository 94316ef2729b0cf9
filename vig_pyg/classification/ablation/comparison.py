"""Confidence intervals of means, and paired tests, for scores of a few seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Paired:
    """The mean of paired differences, its confidence interval, and the p-value of Student's paired t-test.

    Args:
        difference: Mean of the differences.
        low: Lower end of the interval.
        high: Upper end of the interval.
        p: Two-sided p-value: how often a difference of at least this size occurs by chance if there is none.

    Example:
        >>> Paired(difference=1.0, low=0.5, high=1.5, p=0.01).difference
        1.0
    """

    difference: float
    low: float
    high: float
    p: float


#: The range of an accuracy in percent.
PERCENT = (0.0, 100.0)
_UNBOUNDED = (-math.inf, math.inf)


def interval(
    values: Sequence[float], *, level: float = 0.95, bounds: tuple[float, float] = _UNBOUNDED
) -> tuple[float, float] | None:
    r"""Compute the confidence interval of a mean by Student's t-distribution, within the range of the scores.

    .. math:: \left[\bar x \pm t_{(1 + level) / 2,\, n - 1} \frac{s}{\sqrt n}\right] \cap [low, high]

    (Student, The probable error of a mean, Biometrika 1908.) No mean lies outside the range of the scores, so the
    truncated interval contains the true mean exactly as often as the full one. Equal scores, such as 100 % for all
    seeds, give an interval of width 0. This does not mean that other seeds would give the same score.

    Args:
        values: The scores of n seeds.
        level: Confidence level in (0, 1); 0.95 is usual.
        bounds: Smallest and largest possible score, such as `PERCENT` for accuracies. By default there is no bound.

    Returns:
        The ends of the interval, or `None` for fewer than two values.

    Example:
        >>> low, high = interval([1.0, 2.0, 3.0])
        >>> round(low, 2), round(high, 2)
        (-0.48, 4.48)
        >>> round(interval([98.0, 99.0, 100.0], bounds=PERCENT)[0], 2), interval([98.0, 99.0, 100.0], bounds=PERCENT)[1]
        (96.52, 100.0)
    """
    if len(values) < 2:
        return None
    from scipy.stats import t

    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    # The mean itself stays inside, also if scores lie outside by a rounding error.
    return min(mean, max(bounds[0], mean - half)), max(mean, min(bounds[1], mean + half))


def paired_test(
    values: Sequence[float],
    baseline: Sequence[float],
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = _UNBOUNDED,
) -> Paired | None:
    """Compare two variants whose runs have the same seeds, by Student's paired t-test.

    Args:
        values: The scores of a variant.
        baseline: The scores of the baseline for the same seeds, in the same order.
        level: Confidence level of the interval in (0, 1).
        bounds: Smallest and largest possible score, as in `interval`. No difference is larger than their distance.

    Returns:
        The comparison, or `None` for fewer than two seeds. If all differences are equal, p is 1 if they are 0, and 0
        if they are not.

    Raises:
        ValueError: If the numbers of scores differ.

    Example:
        >>> paired_test([2.0, 3.0, 5.0], [1.0, 2.0, 3.0]).difference
        1.3333333333333333
    """
    if len(values) != len(baseline):
        raise ValueError(f"A paired test needs the same seeds for both, got {len(values)} and {len(baseline)} scores.")
    differences = [a - b for a, b in zip(values, baseline, strict=True)]
    farthest = bounds[1] - bounds[0]
    ends = interval(differences, level=level, bounds=(-farthest, farthest))
    if ends is None:
        return None
    from scipy.stats import t

    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    if spread == 0:
        p = 0.0 if mean else 1.0
    else:
        p = 2 * float(t.sf(abs(mean) / spread * math.sqrt(len(differences)), len(differences) - 1))
    return Paired(difference=mean, low=ends[0], high=ends[1], p=p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests, so that the chance of any false rejection at level a is at most a.

    The i-th smallest of m values is multiplied by m - i, counted from 0; the results do not decrease. (Holm, A simple
    sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.)

    Args:
        p_values: One p-value for each comparison.

    Example:
        >>> holm([0.01, 0.2, 0.02])
        [0.03, 0.2, 0.04]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = largest
    return adjusted
