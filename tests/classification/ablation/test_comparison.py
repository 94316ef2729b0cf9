import math

import numpy as np
import pytest
from scipy import stats

from vig_pyg.classification.ablation import holm, interval, paired_test
from vig_pyg.classification.ablation.comparison import PERCENT


@pytest.mark.parametrize("seed", range(12))
def test_interval_and_test_are_those_of_scipy(seed):
    draw = np.random.default_rng(seed)
    n = int(draw.integers(2, 12))
    a, b = draw.normal(90, 2, n).tolist(), draw.normal(89, 2, n).tolist()
    found = paired_test(a, b)
    theirs = stats.ttest_rel(a, b)
    ends = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert interval(a, level=0.9) == pytest.approx(stats.t.interval(0.9, n - 1, np.mean(a), stats.sem(a)))


def test_the_interval_holds_the_mean_as_often_as_it_says():
    draw = np.random.default_rng(0)
    ends = [interval(draw.normal(5, 3, 4).tolist()) for _ in range(2000)]
    assert np.mean([low <= 5 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("seed", range(40))
def test_an_interval_of_accuracies_stays_within_their_range(seed):
    """Near 0 and 100 %, of few seeds; cut, it holds each possible mean if and only if the whole one does."""
    draw = np.random.default_rng(seed)
    n, center = int(draw.integers(2, 6)), draw.choice([0.0, 1.0, 50.0, 99.0, 100.0])
    a, b = (np.clip(draw.normal(center, draw.choice([0.1, 3, 40]), n), 0, 100).tolist() for _ in range(2))
    (low, high), whole = interval(a, bounds=PERCENT), interval(a)
    assert 0 <= low <= np.mean(a) + 1e-9 and np.mean(a) - 1e-9 <= high <= 100
    for possible in draw.uniform(0, 100, 50):
        assert (low <= possible <= high) == (whole[0] <= possible <= whole[1])
    cut, uncut = paired_test(a, b, bounds=PERCENT), paired_test(a, b)
    assert -100 <= cut.low <= cut.difference <= cut.high <= 100
    assert (cut.low, cut.high) == (max(-100, uncut.low), min(100, uncut.high))
    assert (cut.difference, cut.p) == (uncut.difference, uncut.p)


@pytest.mark.parametrize("score", [0.0, 37.123, 100.0, 100.00000762939453])
def test_equal_scores_have_an_interval_of_width_zero(score):
    """The last score is 100 % in float32, with a rounding error."""
    low, high = interval([score] * 3, bounds=PERCENT)
    assert low == high == pytest.approx(score)
    assert interval([score], bounds=PERCENT) is None


def test_known_values():
    """Student's own example: the sleep of ten patients (Biometrika 1908)."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_test(second, first)
    assert found.difference == pytest.approx(1.58)
    assert found.p == pytest.approx(0.00283, abs=1e-5)
    assert (found.low, found.high) == (pytest.approx(0.70, abs=0.01), pytest.approx(2.46, abs=0.01))


def test_too_few_and_equal_scores():
    assert interval([]) is None and interval([3.0]) is None and paired_test([1.0], [2.0]) is None
    same = paired_test([5.0, 7.0], [5.0, 7.0])
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    constant = paired_test([6.0, 8.0], [5.0, 7.0])
    assert (constant.difference, constant.low, constant.high, constant.p) == (1, 1, 1, 0)
    with pytest.raises(ValueError, match="same seeds for both, got 2 and 1"):
        paired_test([1.0, 2.0], [1.0])


@pytest.mark.parametrize("seed", range(6))
def test_holm(seed):
    draw = np.random.default_rng(seed)
    p = draw.uniform(0, 0.2, int(draw.integers(0, 9))).tolist()
    found = holm(p)
    order = np.argsort(p)
    assert all(a >= b for a, b in zip(found, p, strict=True)) and all(value <= 1 for value in found)
    assert [found[i] for i in order] == sorted(found)
    if p:
        assert min(found) == pytest.approx(min(1, len(p) * min(p)))
        rejected = 0  # the step-down procedure itself
        while rejected < len(p) and p[order[rejected]] * (len(p) - rejected) <= 0.05:
            rejected += 1
        assert sum(value <= 0.05 for value in found) == rejected


def test_false_alarms_are_as_rare_as_holm_says():
    draw = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        base = draw.normal(0, 1, 4).tolist()
        found = holm([paired_test(draw.normal(0, 1, 4).tolist(), base).p for _ in range(4)])
        alarms += min(found) <= 0.05
    assert alarms / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
