"""Triton functions that select the best scores of a row in registers.

A row is stored as two halves of its columns. The maxima of pairs of columns, which are needed anyway, give a lower
bound of the k-th best score. The selected columns are encoded as `1 + column`.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: A value below every score, which marks selected columns and columns without a source.
LOST = tl.constexpr(-(2**31))
#: Scores are quantized to this number of steps between the best score of a row and a bound below its k-th best score.
_STEPS = tl.constexpr(8388600.0)  # less than 2**23 - 1, which marks columns without a score
_FIRST = tl.constexpr(8388608.0)  # from this value on, consecutive float32 numbers differ by 1
_LAST = tl.constexpr(16777215.0)
#: The smallest score; it limits the best score of a row that contains only masked sources.
_LOWEST = tl.constexpr(-3.4028234663852886e38)
#: Largest range of scores, in units of the target's length, for which a step is as small as the rounding error of the
#: products.
_WIDEST = tl.constexpr(8.0)


@triton.jit
def select(one, two, first, second, length, m, k, step, EXACT: tl.constexpr, SLOTS: tl.constexpr):
    """Return the columns of rank 0, step, ... of each row, `(T, SLOTS)`; for ties, the smaller column first."""
    pairs = tl.maximum(one, two)
    best = tl.maximum(tl.max(pairs, 1), _LOWEST)
    bound = tl.min(pairs, 1)
    masked = tl.min(bound, 0) == float("-inf")
    if masked | (k > one.shape[1]):  # if fewer than k pairs have a score, the bound is the smallest score
        one_low = tl.where(one == float("-inf"), best[:, None], one)
        two_low = tl.where(two == float("-inf"), best[:, None], two)
        bound = tl.min(tl.minimum(one_low, two_low), 1)
    chosen = tl.zeros((one.shape[0], SLOTS), tl.uint32)
    if EXACT:
        chosen = _by_scores(one, two, first, second, m, k, step, chosen)
    else:
        spread = best - bound
        # For infinite scores the comparison may be false (NaN compares as false), but these have no order to keep.
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
    """Return 32-bit keys that are unique in a row: 23 bits for the distance from the best score, then the column."""
    code = tl.minimum((best[:, None] - scores) * scale[:, None] + _FIRST, _LAST)  # NaN comes last
    return (code.to(tl.uint32, bitcast=True) << 8) + column[None, :].to(tl.uint32)


@triton.jit
def _by_keys(one, two, k, step, chosen):
    """Select in rounds; each round finds the smallest key above the previous one by differences with wraparound."""
    slot = tl.arange(0, chosen.shape[1])
    above = tl.zeros((one.shape[0],), tl.uint32)
    rank = 0
    until = 0
    place = 0
    while rank < k:  # with a `for` loop, the compiler would move the row through shared memory in every round
        above += tl.min(tl.minimum(one - above[:, None], two - above[:, None]), 1) + 1
        if rank == until:
            chosen = tl.where(slot[None, :] == place, above[:, None], chosen)
            until += step
            place += 1
        rank += 1
    return ((chosen - 1) & 255) + 1


@triton.jit
def ordered(scores):
    """Return integers above `LOST` in the order of the scores; NaN equals minus infinity, and -0 equals 0."""
    scores = tl.where(scores == 0, 0.0, tl.where(scores == scores, scores, float("-inf")))
    bits = scores.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _by_scores(one, two, first, second, m, k, step, chosen):
    """Select in rounds; each round finds the largest score and the smallest column with this score, and removes it."""
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
