r"""Triton kernel that searches any number of sources, tile by tile.

Equation: as in `_triton_knn_row.py`. Each target has an unordered list of its k best sources so far. A tile of scores
is searched only while one of its rows contains a better score than the worst one in the list; the better score then
replaces the worst.

The search begins with the tile of the sources at the same position in the image as the targets. Nearby patches are
similar, so later tiles rarely contain better scores. On a photo at 800 x 1280 (pvig_small, first layer), a program
searches its tiles 75 times in total. In the order of the sources it would be 129 times, and with lists of 16 instead of
9 sources 203 times.
"""

from __future__ import annotations

import triton
import triton.language as tl

from vig_pyg.ops._triton_knn_row import biases, lengths_of, write
from vig_pyg.ops._triton_select import LOST, ordered

#: Source index of an empty position in a list; it is larger than every valid index.
_EMPTY = tl.constexpr(2**30)
#: Score of positions after the k-th; it is larger than every valid score, so these positions are never replaced.
_CLOSED = tl.constexpr(2**31 - 1)


@triton.jit
def _bias_of_tile(
    ptr,
    length,
    lengths,
    start,
    row,
    column,
    sources,
    stride,
    width,
    ROWS: tl.constexpr,
    COUNT: tl.constexpr,
):
    """Return the bias of a tile of targets; if `ROWS` is 2, it is the sum of a column term and a row term of a grid."""
    if ROWS == 2:
        there = column[None, :] < sources
        of_column = ((start + row) % width).to(tl.int64)[:, None] * (stride * COUNT) + column[None, :]
        of_row = (width + (start + row) // width).to(tl.int64)[:, None] * (stride * COUNT) + column[None, :]
        bias = tl.load(ptr + of_column, there, float("-inf")) + tl.load(ptr + of_row, there, 0.0)
        bias *= length[:, None] * lengths[None, :]
    else:
        at = ptr + start.to(tl.int64) * stride * COUNT
        bias = biases(at, length, lengths, row, column, sources, stride, ROWS, COUNT)
    return bias


@triton.jit
def _empty_lists(k, TARGETS: tl.constexpr, BEST: tl.constexpr):
    """Return the scores and sources of empty lists; positions beyond the k-th are closed."""
    place = tl.zeros((TARGETS, BEST), tl.int32) + tl.arange(0, BEST)[None, :]
    return tl.where(place < k, tl.full((TARGETS, BEST), LOST, tl.int32), _CLOSED), place + _EMPTY


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
    PRECISION: tl.constexpr,
):
    """Run the search; `m` and bias strides are in units of `COUNT`, so the compiler knows that `COUNT` divides them."""
    sources = m * COUNT
    image, start = tl.program_id(1).to(tl.int64), tl.program_id(0) * TARGETS
    row = tl.arange(0, TARGETS)
    here, safe = start + row < n, tl.minimum(row, n - 1 - start)  # rows after the last target repeat the last target
    length = lengths_of(x_length_ptr, image * n + start + row, here, X_LENGTHS)
    bias_at = bias_ptr + image * bias_image * COUNT
    x_at, y_at = x_ptr + (image * n + start) * channels, y_ptr + image * sources * channels
    list_scores, list_sources = _empty_lists(k, TARGETS, BEST)
    tiles = tl.cdiv(sources, SOURCES)
    tile = ((start + TARGETS // 2).to(tl.int64) * sources // n // SOURCES).to(tl.int32) % tiles
    done = 0
    while done < tiles:
        column = tile * SOURCES + tl.arange(0, SOURCES)
        lengths = lengths_of(y_length_ptr, image * sources + column, column < sources, Y_LENGTHS)
        scores = _bias_of_tile(bias_at, length, lengths, start, safe, column, sources, bias_target, width, ROWS, COUNT)
        scores = _products(scores, x_at, y_at, row, here, column, sources, channels, CHANNELS, PRECISION)
        scores = tl.where(column[None, :] < sources, ordered(scores * (1.0 / lengths)[None, :]), LOST)
        list_scores, list_sources = _merge(scores, column, list_scores, list_sources, sources)
        tile = (tile + 1) % tiles
        done += 1
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
    """Add the products of a tile of targets with a tile of sources to the accumulators."""
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
    """Replace entries of the lists by better scores of a tile; of equal scores, the smallest source indices stay."""
    best, source, last, better = _best_and_worst(scores, column, list_scores, list_sources, sources)
    while tl.max(better.to(tl.int32)) > 0:
        scores = tl.where(column[None, :] == source[:, None], LOST, scores)
        replaced = (list_sources == last[:, None]) & better[:, None]
        list_scores = tl.where(replaced, best[:, None], list_scores)
        list_sources = tl.where(replaced, source[:, None], list_sources)
        best, source, last, better = _best_and_worst(scores, column, list_scores, list_sources, sources)
    return list_scores, list_sources


@triton.jit
def _best_and_worst(scores, column, list_scores, list_sources, sources):
    """Return each row's best score and its source in a tile, the source that it may replace, and if it is better."""
    best = tl.max(scores, 1)
    source = tl.min(tl.where(scores == best[:, None], column[None, :], sources), 1)
    worst = tl.min(list_scores, 1)
    last = tl.max(tl.where(list_scores == worst[:, None], list_sources, -1), 1)
    return best, source, last, (best > worst) | ((best == worst) & (source < last) & (best > LOST))


@triton.jit
def _sorted(list_scores, list_sources, k, step, SLOTS: tl.constexpr):
    """Return the sources of rank 0, step, ... of each list, best first; for ties, the smaller index first."""
    list_scores = tl.where(tl.arange(0, list_scores.shape[1])[None, :] < k, list_scores, LOST)
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
