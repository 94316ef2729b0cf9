r"""Triton kernel that searches up to 256 sources: one tile contains the whole row of scores of a target.

Equation: the sources of rank 0, `step`, ... by descending :math:`x_i \cdot y_s / |y_s| + |x_i|\,b_{is}`, which ranks
the sources of a target as :math:`\hat x_i \cdot \hat y_s + b_{is}` does. Features are not converted before the product:
the tensor cores multiply 16-bit features, and compute their products exactly.

The accumulators are initialized with the bias. They stay in the register layout of the tensor cores, in which four
adjacent threads hold one row.
"""

from __future__ import annotations

import triton
import triton.language as tl

from vig_pyg.ops._triton_select import select

#: Largest number of sources per image.
MOST_SOURCES = 256


@triton.jit
def lengths_of(ptr, at, here, HAVE: tl.constexpr):
    """Return the lengths of features, or ones."""
    if HAVE:  # noqa: SIM108  # of two types: a choice of values cannot be compiled
        length = tl.load(ptr + at, here, 1.0)
    else:
        length = tl.full(here.shape, 1.0, tl.float32)
    return length


@triton.jit
def _target_lengths(x_ptr, length_ptr, at, row, here, channels, WIDTH: tl.constexpr, HAVE: tl.constexpr):
    """Return the lengths of a tile of targets, which are given, or computed from up to `WIDTH` channels."""
    if WIDTH > 0:
        c = tl.arange(0, WIDTH)
        x = tl.load(x_ptr + row[:, None] * channels + c[None, :], here[:, None] & (c[None, :] < channels), 0.0)
        wide = x.to(tl.float32)
        length = tl.maximum(tl.sqrt(tl.sum(wide * wide, 1)), 1e-12)
    else:
        length = lengths_of(length_ptr, at + row, here, HAVE)
    return length


@triton.jit
def biases(ptr, length, lengths, row, column, sources, stride, ROWS: tl.constexpr, COUNT: tl.constexpr):
    """Return the bias in units of the products; columns without a source get the lowest score."""
    there = column[None, :] < sources
    if ROWS:
        bias = tl.load(ptr + row[:, None] * (stride * COUNT) + column[None, :], there, float("-inf"))
    else:
        bias = tl.load(ptr + column[None, :], there, float("-inf"))
    return bias * (length[:, None] * lengths[None, :])


@triton.jit(do_not_specialize=["n", "m", "bias_image", "bias_target", "k", "step", "kept"])
def search_row(
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
    TARGETS: tl.constexpr,
    SOURCES: tl.constexpr,
    CHANNELS: tl.constexpr,
    SLOTS: tl.constexpr,
    ROWS: tl.constexpr,
    COUNT: tl.constexpr,
    WIDTH: tl.constexpr,
    X_LENGTHS: tl.constexpr,
    Y_LENGTHS: tl.constexpr,
    PRECISION: tl.constexpr,
    SPLIT: tl.constexpr,
    EXACT: tl.constexpr,
):
    """Run the search; `m` and bias strides are in units of `COUNT`, so the compiler knows that `COUNT` divides them."""
    sources = m * COUNT
    image, start = tl.program_id(1).to(tl.int64), tl.program_id(0) * TARGETS
    row = tl.arange(0, TARGETS)
    here = start + row < n
    safe = tl.minimum(row, n - 1 - start)  # rows after the last target repeat the last target
    first, second = tl.arange(0, SOURCES // 2), tl.arange(SOURCES // 2, SOURCES)
    x_at = x_ptr + (image * n + start) * channels
    length = _target_lengths(x_at, x_length_ptr, image * n + start, row, here, channels, WIDTH, X_LENGTHS)
    one_lengths = lengths_of(y_length_ptr, image * sources + first, first < sources, Y_LENGTHS)
    two_lengths = lengths_of(y_length_ptr, image * sources + second, second < sources, Y_LENGTHS)
    bias_at = bias_ptr + (image * bias_image + start.to(tl.int64) * bias_target) * COUNT
    one = biases(bias_at, length, one_lengths, safe, first, sources, bias_target, ROWS, COUNT)
    two = biases(bias_at, length, two_lengths, safe, second, sources, bias_target, ROWS, COUNT)
    y_at = y_ptr + image * sources * channels
    one, two = _products(one, two, x_at, y_at, row, here, first, second, sources, channels, CHANNELS, PRECISION, SPLIT)
    if Y_LENGTHS:
        one, two = one * (1.0 / one_lengths)[None, :], two * (1.0 / two_lengths)[None, :]
    chosen = select(one, two, first, second, length, sources, k, step, EXACT, SLOTS)
    write(found_ptr, (chosen - 1).to(tl.int32), image, start, row, here, n, sources, kept)


@triton.jit
def _products(
    one,
    two,
    x_ptr,
    y_ptr,
    row,
    here,
    first,
    second,
    sources,
    channels,
    CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """Add the products of a tile of targets with both halves of the sources to the accumulators.

    Sources may be split: the TF32 parts of all images, followed by the remainders of all images.
    """
    rest = tl.num_programs(1).to(tl.int64) * sources * channels
    c = tl.arange(0, CHANNELS)
    x_at = x_ptr + row[:, None] * channels + c[None, :]
    one_at = y_ptr + first[None, :] * channels + c[:, None]
    two_at = y_ptr + second[None, :] * channels + c[:, None]
    for done in range(0, channels, CHANNELS):
        left = channels - done
        a = tl.load(x_at, here[:, None] & (c[None, :] < left), 0.0)
        b = tl.load(one_at, (first[None, :] < sources) & (c[:, None] < left), 0.0)
        d = tl.load(two_at, (second[None, :] < sources) & (c[:, None] < left), 0.0)
        if SPLIT:  # add the terms of the product of sums, smallest first, except for the product of the remainders
            head = (a.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
            e = tl.load(one_at + rest, (first[None, :] < sources) & (c[:, None] < left), 0.0)
            f = tl.load(two_at + rest, (second[None, :] < sources) & (c[:, None] < left), 0.0)
            one = tl.dot(head, e, tl.dot(a - head, b, one, input_precision=PRECISION), input_precision=PRECISION)
            two = tl.dot(head, f, tl.dot(a - head, d, two, input_precision=PRECISION), input_precision=PRECISION)
            a = head
        a = a.to(b.dtype)
        one = tl.dot(a, b, one, input_precision=PRECISION)
        two = tl.dot(a, d, two, input_precision=PRECISION)
        x_at += CHANNELS
        one_at += CHANNELS
        two_at += CHANNELS
    return one, two


@triton.jit
def write(ptr, chosen, image, start, row, here, n, sources, kept):
    """Write the selected sources of a tile of targets; if they are 64-bit edges, indices refer to the whole batch."""
    slot = tl.arange(0, chosen.shape[1])
    at = ptr + (image * n + start) * kept + row[:, None] * kept + slot[None, :]
    fits = here[:, None] & (slot[None, :] < kept)
    if ptr.dtype.element_ty == tl.int64:
        tl.store(at, image * sources + chosen, fits)
        target = (image * n + start + row)[:, None] + tl.zeros_like(slot)[None, :]
        tl.store(at + tl.num_programs(1).to(tl.int64) * n * kept, target, fits)
    else:
        tl.store(at, chosen.to(ptr.dtype.element_ty), fits)
