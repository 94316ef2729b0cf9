"""The best of a row of scores that lies in registers, in Triton.

A row is held in two halves of columns, so that the maxima of pairs, which are needed anyway, bound the k-th best from
below. Numbers of the chosen columns travel as `1 + column`.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: Below every score: what was chosen already, or never was a source.
LOST = tl.constexpr(-(2**31))
#: Scores are compared on a grid of so many steps between a row's best and a bound below its k-th.
_STEPS = tl.constexpr(8388600.0)  # below 2**23 - 1, which is left to what has no score
_FIRST = tl.constexpr(8388608.0)  # from here on the bits of a float32 count in ones
_LAST = tl.constexpr(16777215.0)
#: The smallest number: a row of masked sources alone is not better.
_LOWEST = tl.constexpr(-3.4028234663852886e38)
#: Ranges of scores, in lengths of the target, up to which a step is as fine as the rounding of the products.
_WIDEST = tl.constexpr(8.0)


@triton.jit
def select(one, two, first, second, length, m, k, step, EXACT: tl.constexpr, SLOTS: tl.constexpr):
    """Columns of rank 0, step, 2 step, ... of each row `(T, SLOTS)`, the smaller column first where scores tie."""
    pairs = tl.maximum(one, two)
    best = tl.maximum(tl.max(pairs, 1), _LOWEST)
    bound = tl.min(pairs, 1)
    masked = tl.min(bound, 0) == float("-inf")
    if masked | (k > one.shape[1]):  # fewer pairs than k hold a score: the bound is the smallest one of all
        one_low = tl.where(one == float("-inf"), best[:, None], one)
        two_low = tl.where(two == float("-inf"), best[:, None], two)
        bound = tl.min(tl.minimum(one_low, two_low), 1)
    chosen = tl.zeros((one.shape[0], SLOTS), tl.uint32)
    if EXACT:
        chosen = _by_scores(one, two, first, second, m, k, step, chosen)
    else:
        spread = best - bound
        # an infinite range is no number after the product, and compares as not wide: no order is left to keep there
        if tl.max((spread > _WIDEST * length).to(tl.int32)) > 0:
            chosen = _by_scores(one, two, first, second, m, k, step, chosen)
        else:
            scale = _STEPS / tl.maximum(spread, 1e-30)
            one_keys = _keys(one, best, scale, first)
            two_keys = _keys(two, best, scale, second)
            chosen = _by_keys(one_keys, two_keys, k, step, chosen)
    return chosen


@triton.jit
def _keys(scores, best, scale, column):
    """32-bit keys, unique in a row: 23 bits of distance from the best, then the column."""
    code = tl.minimum((best[:, None] - scores) * scale[:, None] + _FIRST, _LAST)  # NaN comes last
    return (code.to(tl.uint32, bitcast=True) << 8) + column[None, :].to(tl.uint32)


@triton.jit
def _by_keys(one, two, k, step, chosen):
    """Each round finds the smallest key above the last one: keys below it wrap around to large differences."""
    slot = tl.arange(0, chosen.shape[1])
    above = tl.zeros((one.shape[0],), tl.uint32)
    rank = 0
    until = 0
    place = 0
    while rank < k:  # a `for` lets the compiler take the row through shared memory in every round
        above += tl.min(tl.minimum(one - above[:, None], two - above[:, None]), 1) + 1
        if rank == until:
            chosen = tl.where(slot[None, :] == place, above[:, None], chosen)
            until += step
            place += 1
        rank += 1
    return ((chosen - 1) & 255) + 1


@triton.jit
def ordered(scores):
    """Whole numbers in the order of the scores, all above `LOST`; NaN is as low as minus infinity, and -0 is 0."""
    scores = tl.where(scores == 0, 0.0, tl.where(scores == scores, scores, float("-inf")))
    bits = scores.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _by_scores(one, two, first, second, m, k, step, chosen):
    """Each round finds the largest score, then the smallest column that has it, and strikes it out."""
    one = tl.where(first[None, :] < m, ordered(one), LOST)
    two = tl.where(second[None, :] < m, ordered(two), LOST)
    slot = tl.arange(0, chosen.shape[1])
    rank = 0
    until = 0
    place = 0
    while rank < k:
        best = tl.max(tl.maximum(one, two), 1)
        at_one = tl.where(one == best[:, None], first[None, :], m)
        at_two = tl.where(two == best[:, None], second[None, :], m)
        column = tl.min(tl.minimum(at_one, at_two), 1)
        one = tl.where(first[None, :] == column[:, None], LOST, one)
        two = tl.where(second[None, :] == column[:, None], LOST, two)
        if rank == until:
            chosen = tl.where(slot[None, :] == place, (column + 1).to(tl.uint32)[:, None], chosen)
            until += step
            place += 1
        rank += 1
    return chosen
