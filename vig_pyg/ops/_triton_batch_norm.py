r"""Triton kernels of batch norm over nodes, optionally followed by GELU, for training on a GPU.

Equation: :math:`\mathrm{GELU}(\gamma\,(h - \mu) / \sigma + \beta)` with the mean and standard deviation of the batch.
The gradient is :math:`s\,(d - \bar d - \hat h\,\overline{d \hat h})` with :math:`s = \gamma / \sigma`, the normalized
features :math:`\hat h` and the gradient d before GELU; bars are means over nodes. Shapes: h `(N, C)`, 8 divides C.

The forward pass reads h twice and writes once, also with a residual connection. The backward pass reads h and the
gradient twice and writes once. All sums are in float32 and in a fixed order: each program sums some rows, and then the
few partial sums are added. Statistics use differences to a row, so a large mean does not reduce precision.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vig_pyg.ops._triton_bias_gelu import STEP, gelu_of
from vig_pyg.ops._triton_launch import launch, power_of_two

#: Largest number of parts of a sum, smallest number of rows per part, and number of groups of eight elements per
#: program.
_PARTS, _ROWS, _GROUPS = 256, 256, 128
#: Elements per tile of a sum, few enough that several programs fit into the registers.
_MOMENTS_TILE, _SLOPES_TILE = 2048, 1024
#: Rows of the factors that `statistics` returns.
MEAN, RATE, SCALE, SHIFT = range(4)


def statistics(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    offset: Tensor | None,
    running: tuple[Tensor, Tensor, Tensor],
    momentum: float,
    eps: float,
) -> Tensor:
    """Compute the mean, 1 / deviation, scale and shift of each channel, `(4, C)`, and update the running statistics.

    Args:
        h: Features `(N, C)`, contiguous, N at least 2.
        weight: Weight of the norm, `(C,)`, float32.
        bias: Bias of the norm, `(C,)`, float32.
        offset: Bias of the previous layer that was not added to h, `(C,)`; it changes only the running mean.
        running: Running mean and variance `(C,)`, float32, and the number of batches.
        momentum: Momentum of the running statistics.
        eps: Number that is added to the variance.
    """
    n, channels = h.shape
    columns = _columns(channels)
    parts = _parts(n)
    sums = torch.empty(2, parts, channels, dtype=torch.float32, device=h.device)
    factors = torch.empty(4, channels, dtype=torch.float32, device=h.device)
    sizes = n, channels, _rows(n, parts), parts
    tile = {"ROWS": _MOMENTS_TILE // columns, "COLUMNS": columns}
    launch(_moments, (triton.cdiv(channels, columns), parts), (h, sums, *sizes), tile)
    tensors = sums, weight, bias, h if offset is None else offset, *running, factors
    numbers = float(momentum), float(eps), n / (n - 1)
    constants = {"OFFSET": offset is not None, "PARTS": power_of_two(parts), "COLUMNS": 16}
    launch(_finish, (triton.cdiv(channels, 16),), (*tensors, *sizes, *numbers), constants)
    return factors


def apply(h: Tensor, factors: Tensor, out: Tensor, residual: Tensor | None = None, *, gelu: bool) -> None:
    """Write the normalized features, with GELU if it follows, plus an optional residual, to `out`, which may be `h`."""
    n, channels = h.shape
    groups = n * (channels // STEP)
    tensors = h, factors, h if residual is None else residual, out
    constants = {"GELU": gelu, "RESIDUAL": residual is not None, "GROUPS": _GROUPS}
    launch(_apply, (triton.cdiv(groups, _GROUPS),), (*tensors, groups, channels // STEP, channels), constants)


def backward(grad: Tensor, h: Tensor, factors: Tensor, out: Tensor, *, gelu: bool) -> Tensor:
    """Write the gradient of h to `out`, which may be `grad`; return `(3, C)`: those of bias, weight and offset (0)."""
    n, channels = h.shape
    columns, parts = _columns(channels), _parts(n)
    sums = torch.empty(2, parts, channels, dtype=torch.float32, device=h.device)
    tile = {"GELU": gelu, "ROWS": _SLOPES_TILE // columns, "COLUMNS": columns}
    sizes: tuple[int | float, ...] = n, channels, _rows(n, parts), parts
    launch(_slopes, (triton.cdiv(channels, columns), parts), (grad, h, factors, sums, *sizes), tile)
    totals = torch.empty(3, channels, dtype=torch.float32, device=h.device)
    constants = {"PARTS": power_of_two(parts), "COLUMNS": 16}
    launch(_totals, (triton.cdiv(channels, 16),), (sums, totals, channels, parts), constants)
    groups = n * (channels // STEP)
    sizes, constants = (groups, channels // STEP, channels, 1 / n), {"GELU": gelu, "GROUPS": _GROUPS}
    launch(_gradient, (triton.cdiv(groups, _GROUPS),), (grad, h, factors, totals, out, *sizes), constants)
    return totals


def _columns(channels: int) -> int:
    """Return the number of channels per program: at least 64 bytes of a row, with few unused channels at the end."""
    return 64 if channels >= 128 else 32


def _parts(n: int) -> int:
    return max(1, min(_PARTS, n // _ROWS))


def _rows(n: int, parts: int) -> int:
    """Return the number of rows per part in whole tiles; the last part may have fewer, and later parts none."""
    return triton.cdiv(triton.cdiv(n, parts), 64) * 64


@triton.jit(do_not_specialize=["n", "rows"])
def _moments(h_ptr, sums_ptr, n, channels, rows, parts, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    start = part.to(tl.int64) * rows
    stop = tl.minimum(start + rows, n)
    origin = tl.load(h_ptr + tl.minimum(start, n - 1) * channels + c, c < channels, 0.0).to(tl.float32)
    first = tl.zeros((ROWS, COLUMNS), tl.float32)
    second = tl.zeros((ROWS, COLUMNS), tl.float32)
    for row in range(start, stop, ROWS):
        i = row + tl.arange(0, ROWS)
        here = (i < stop)[:, None] & (c < channels)[None, :]
        h = tl.load(h_ptr + i[:, None] * channels + c[None, :], here, 0.0).to(tl.float32)
        difference = tl.where(here, h - origin[None, :], 0.0)
        first += difference
        second += difference * difference
    count = tl.maximum(stop - start, 1).to(tl.float32)
    total = tl.sum(first, 0)
    at = sums_ptr + part * channels + c
    tl.store(at, origin + total / count, c < channels)
    tl.store(at + parts * channels, tl.sum(second, 0) - total * total / count, c < channels)


@triton.jit(do_not_specialize=["n", "rows", "momentum", "eps", "correction"])
def _finish(
    sums_ptr,
    weight_ptr,
    bias_ptr,
    offset_ptr,
    mean_ptr,
    variance_ptr,
    batches_ptr,
    factors_ptr,
    n,
    channels,
    rows,
    parts,
    momentum,
    eps,
    correction,
    OFFSET: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.arange(0, PARTS)
    here = (part < parts)[:, None] & (c < channels)[None, :]
    at = sums_ptr + part[:, None] * channels + c[None, :]
    means = tl.load(at, here, 0.0)
    count = tl.minimum(tl.maximum(n - part.to(tl.int64) * rows, 0), rows).to(tl.float32)
    count = tl.where(part < parts, count, 0.0)[:, None]
    origin = tl.load(sums_ptr + c, c < channels, 0.0)
    size = n.to(tl.float32)
    mean = origin + tl.sum(count * (means - origin[None, :]), 0) / size
    away = means - mean[None, :]
    squares = tl.load(at + parts * channels, here, 0.0)
    variance = (tl.sum(tl.where(count > 0, squares, 0.0), 0) + tl.sum(count * away * away, 0)) / size
    rate = 1.0 / tl.sqrt(variance + eps)
    on = c < channels
    scale = tl.load(weight_ptr + c, on, 0.0).to(tl.float32) * rate
    to = factors_ptr + c
    tl.store(to, mean, on)
    tl.store(to + channels, rate, on)
    tl.store(to + 2 * channels, scale, on)
    tl.store(to + 3 * channels, tl.load(bias_ptr + c, on, 0.0).to(tl.float32) - mean * scale, on)
    if OFFSET:
        mean += tl.load(offset_ptr + c, on, 0.0).to(tl.float32)
    old = tl.load(mean_ptr + c, on, 0.0)
    tl.store(mean_ptr + c, old + momentum * (mean - old), on)
    old = tl.load(variance_ptr + c, on, 0.0)
    tl.store(variance_ptr + c, old + momentum * (variance * correction - old), on)
    if tl.program_id(0) == 0:
        tl.store(batches_ptr, tl.load(batches_ptr) + 1)


@triton.jit
def _factors(factors_ptr, channels, group, groups_a_row, here):
    """Load mean, rate, scale and shift of the eight channels of each group."""
    at = factors_ptr + (group % groups_a_row)[:, None] * 8 + tl.arange(0, 8)[None, :]
    mean = tl.load(at, here, 0.0)
    rate = tl.load(at + channels, here, 0.0)
    scale = tl.load(at + 2 * channels, here, 0.0)
    return mean, rate, scale, tl.load(at + 3 * channels, here, 0.0)


@triton.jit(do_not_specialize=["groups"])
def _apply(
    h_ptr,
    factors_ptr,
    residual_ptr,
    out_ptr,
    groups,
    groups_a_row,
    channels,
    GELU: tl.constexpr,
    RESIDUAL: tl.constexpr,
    GROUPS: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    here = (group < groups)[:, None]
    at = group[:, None] * 8 + tl.arange(0, 8)[None, :]
    _, _, scale, shift = _factors(factors_ptr, channels, group, groups_a_row, here)
    z = tl.load(h_ptr + at, here, 0.0).to(tl.float32) * scale + shift
    z = gelu_of(z) if GELU else z
    if RESIDUAL:
        z += tl.load(residual_ptr + at, here, 0.0).to(tl.float32)
    tl.store(out_ptr + at, z, here)


@triton.jit
def _slope(z):
    """The derivative of the exact GELU."""
    return 0.5 * (1.0 + tl.erf(z * 0.7071067811865476)) + z * 0.3989422804014327 * tl.exp(-0.5 * z * z)


@triton.jit(do_not_specialize=["n", "rows"])
def _slopes(
    grad_ptr,
    h_ptr,
    factors_ptr,
    sums_ptr,
    n,
    channels,
    rows,
    parts,
    GELU: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    on = c < channels
    part = tl.program_id(1)
    start = part.to(tl.int64) * rows
    stop = tl.minimum(start + rows, n)
    mean = tl.load(factors_ptr + c, on, 0.0)[None, :]
    rate = tl.load(factors_ptr + channels + c, on, 0.0)[None, :]
    scale = tl.load(factors_ptr + 2 * channels + c, on, 0.0)[None, :]
    shift = tl.load(factors_ptr + 3 * channels + c, on, 0.0)[None, :]
    sum_d = tl.zeros((ROWS, COLUMNS), tl.float32)
    sum_dh = tl.zeros((ROWS, COLUMNS), tl.float32)
    for row in range(start, stop, ROWS):
        i = row + tl.arange(0, ROWS)
        here = (i < stop)[:, None] & on[None, :]
        at = i[:, None] * channels + c[None, :]
        d = tl.load(grad_ptr + at, here, 0.0).to(tl.float32)
        h = tl.load(h_ptr + at, here, 0.0).to(tl.float32)
        if GELU:
            d *= _slope(h * scale + shift)
        sum_d += d
        sum_dh += tl.where(here, d * (h - mean) * rate, 0.0)
    at = sums_ptr + part * channels + c
    tl.store(at, tl.sum(sum_d, 0), on)
    tl.store(at + parts * channels, tl.sum(sum_dh, 0), on)


@triton.jit
def _totals(sums_ptr, totals_ptr, channels, parts, PARTS: tl.constexpr, COLUMNS: tl.constexpr):
    """Add both sums of each channel over all parts, and append a row of zeros."""
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.arange(0, PARTS)
    here = (part < parts)[:, None] & (c < channels)[None, :]
    at = sums_ptr + part[:, None] * channels + c[None, :]
    to = totals_ptr + c
    tl.store(to, tl.sum(tl.load(at, here, 0.0), 0), c < channels)
    tl.store(to + channels, tl.sum(tl.load(at + parts * channels, here, 0.0), 0), c < channels)
    tl.store(to + 2 * channels, tl.zeros((COLUMNS,), tl.float32), c < channels)


@triton.jit(do_not_specialize=["groups", "share"])
def _gradient(
    grad_ptr,
    h_ptr,
    factors_ptr,
    totals_ptr,
    out_ptr,
    groups,
    groups_a_row,
    channels,
    share,
    GELU: tl.constexpr,
    GROUPS: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    here = (group < groups)[:, None]
    at = group[:, None] * 8 + tl.arange(0, 8)[None, :]
    mean, rate, scale, shift = _factors(factors_ptr, channels, group, groups_a_row, here)
    total = totals_ptr + (group % groups_a_row)[:, None] * 8 + tl.arange(0, 8)[None, :]
    mean_d = tl.load(total, here, 0.0) * share
    mean_dh = tl.load(total + channels, here, 0.0) * share
    d = tl.load(grad_ptr + at, here, 0.0).to(tl.float32)
    h = tl.load(h_ptr + at, here, 0.0).to(tl.float32)
    if GELU:
        d *= _slope(h * scale + shift)
    tl.store(out_ptr + at, scale * (d - mean_d - (h - mean) * rate * mean_dh), here)
