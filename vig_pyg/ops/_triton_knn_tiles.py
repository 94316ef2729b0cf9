r"""Search among any number of sources, tile by tile, in Triton.

Equation: as in `_triton_knn_row.py`. Each target keeps a list of its best so far, in no order. A tile of scores is
searched only while one of its rows holds something better than the worst of that row's list, which it then replaces.
"""

from __future__ import annotations

import triton
import triton.language as tl

from vig_pyg.ops._triton_knn_row import biases, lengths_of, write
from vig_pyg.ops._triton_select import LOST, ordered

#: Numbers of empty places in a list: larger than those of all sources.
_EMPTY = tl.constexpr(2**30)


@triton.jit
def _grid_biases(ptr, length, lengths, target, width, column, sources):
    """The bias of targets on a grid, from terms of its columns and rows, in units of the products."""
    there = column[None, :] < sources
    of_column = ptr + (target % width).to(tl.int64)[:, None] * sources + column[None, :]
    of_row = ptr + (width + target // width).to(tl.int64)[:, None] * sources + column[None, :]
    bias = tl.load(of_column, there, float("-inf")) + tl.load(of_row, there, 0.0)
    return bias * (length[:, None] * lengths[None, :])


@triton.jit(do_not_specialize=["n", "m", "bias_image", "bias_target", "k", "step", "kept", "width"])
def search_tiles(
    x_ptr,
    y_ptr,
    x_length_ptr,
    y_length_ptr,
    bias_ptr,
    found_ptr,
    n,
    m,
    channels,
    bias_image,
    bias_target,
    k,
    step,
    kept,
    width,
    TARGETS: tl.constexpr,
    SOURCES: tl.constexpr,
    CHANNELS: tl.constexpr,
    BEST: tl.constexpr,
    SLOTS: tl.constexpr,
    ROWS: tl.constexpr,
    COUNT: tl.constexpr,
    X_LENGTHS: tl.constexpr,
    Y_LENGTHS: tl.constexpr,
    GRID: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """`m` and the strides of the bias count in units of `COUNT`: the compiler then sees what they are divisible by."""
    sources = m * COUNT
    image, start = tl.program_id(1).to(tl.int64), tl.program_id(0) * TARGETS
    row = tl.arange(0, TARGETS)
    here, safe = start + row < n, tl.minimum(row, n - 1 - start)  # rows beyond the last repeat it
    length = lengths_of(x_length_ptr, image * n + start + row, here, X_LENGTHS)
    bias_at = bias_ptr + image * bias_image * COUNT
    if not GRID:
        bias_at += start.to(tl.int64) * bias_target * COUNT
    x_at = x_ptr + (image * n + start) * channels
    y_at = y_ptr + image * sources * channels
    list_scores = tl.full((TARGETS, BEST), LOST, tl.int32)
    list_sources = tl.zeros((TARGETS, BEST), tl.int32) + (tl.arange(0, BEST) + _EMPTY)[None, :]
    tile = 0
    while tile * SOURCES < sources:
        column = tile * SOURCES + tl.arange(0, SOURCES)
        lengths = lengths_of(y_length_ptr, image * sources + column, column < sources, Y_LENGTHS)
        if GRID:
            scores = _grid_biases(bias_at, length, lengths, start + safe, width, column, sources)
        else:
            scores = biases(bias_at, length, lengths, safe, column, sources, bias_target, ROWS, COUNT)
        scores = _products(scores, x_at, y_at, row, here, column, sources, channels, CHANNELS, PRECISION)
        scores *= (1.0 / lengths)[None, :]
        scores = tl.where(column[None, :] < sources, ordered(scores), LOST)
        list_scores, list_sources = _merge(scores, column, list_scores, list_sources, sources)
        tile += 1
    chosen = _sorted(list_scores, list_sources, k, step, SLOTS)
    write(found_ptr, chosen, image, start, row, here, n, sources, kept)


@triton.jit
def _products(
    scores,
    x_ptr,
    y_ptr,
    row,
    here,
    column,
    sources,
    channels,
    CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Products of a tile of targets with a tile of sources, added to what is there."""
    c = tl.arange(0, CHANNELS)
    x_at = x_ptr + row[:, None] * channels + c[None, :]
    y_at = y_ptr + column[None, :].to(tl.int64) * channels + c[:, None]
    for done in range(0, channels, CHANNELS):
        left = channels - done
        a = tl.load(x_at, here[:, None] & (c[None, :] < left), 0.0)
        b = tl.load(y_at, (column[None, :] < sources) & (c[:, None] < left), 0.0)
        a = a.to(b.dtype)
        scores = tl.dot(a, b, scores, input_precision=PRECISION)
        x_at += CHANNELS
        y_at += CHANNELS
    return scores


@triton.jit
def _merge(scores, column, list_scores, list_sources, sources):
    """The lists, with what a tile holds that is better; equal scores keep the source that came first."""
    best = tl.max(scores, 1)
    worst = tl.min(list_scores, 1)
    last = tl.max(tl.where(list_scores == worst[:, None], list_sources, -1), 1)
    better = best > worst
    while tl.max(better.to(tl.int32)) > 0:
        source = tl.min(tl.where(scores == best[:, None], column[None, :], sources), 1)
        scores = tl.where(column[None, :] == source[:, None], LOST, scores)
        replaced = (list_sources == last[:, None]) & better[:, None]
        list_scores = tl.where(replaced, best[:, None], list_scores)
        list_sources = tl.where(replaced, source[:, None], list_sources)
        best = tl.max(scores, 1)
        worst = tl.min(list_scores, 1)
        last = tl.max(tl.where(list_scores == worst[:, None], list_sources, -1), 1)
        better = best > worst
    return list_scores, list_sources


@triton.jit
def _sorted(list_scores, list_sources, k, step, SLOTS: tl.constexpr):
    """Sources of rank 0, step, 2 step, ... of each list, best first, the smaller number first where scores tie."""
    slot = tl.arange(0, SLOTS)
    chosen = tl.zeros((list_scores.shape[0], SLOTS), tl.int32)
    rank = 0
    until = 0
    place = 0
    while rank < k:
        best = tl.max(list_scores, 1)
        source = tl.min(tl.where(list_scores == best[:, None], list_sources, _EMPTY), 1)
        list_scores = tl.where(list_sources == source[:, None], LOST, list_scores)
        if rank == until:
            chosen = tl.where(slot[None, :] == place, source[:, None], chosen)
            until += step
            place += 1
        rank += 1
    return chosen
