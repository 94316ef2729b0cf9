r"""Triton kernels that compute the gradients of max-relative aggregation, for targets and for the sources that won.

Equation: with the gradients :math:`a_{ic}` of :math:`x_{ic}` and :math:`r_{ic}` of :math:`m_{ic}`, the target gets
:math:`a_{ic} - r_{ic}` and the source that won channel c gets :math:`r_{ic}`. Shapes: gradients `(N, 2 C)`, winners
`(N, C)`.

Memory traffic in bytes, with s bytes per element: 3 s N C for gradients, 1 to 4 N C for the winners, and 4 M C for the
sums. The sums use atomic additions in float32, so their order and last bits vary. In torch's deterministic mode, each
program instead processes all targets of an image in order, with n m C comparisons.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vig_pyg.ops._triton_launch import launch, power_of_two
from vig_pyg.ops._triton_tiles import BACKWARD, NUMBERS, Tuning, place, tiles

#: Sources and channels of one program that sums in order.
_SOURCES, _CHANNELS = 64, 16


def scatter_winners(
    grad: Tensor, winners: Tensor, num_src: int, images: int = 1, *, in_order: bool = False, tuning: Tuning = BACKWARD
) -> tuple[Tensor, Tensor]:
    """Return the gradients of sources and targets, in the dtype of `grad (N, 2 C)`.

    Args:
        grad: Gradient of the result.
        winners: Source indices from the forward pass, `(N, C)`; indices of sources that do not exist are skipped.
        num_src: Number of sources of all images.
        images: Number of images within which the winners are indexed.
        in_order: If true, repeated calls give bit-identical results.
        tuning: Tile sizes.

    Raises:
        ValueError: If the shapes do not match.
    """
    kinds = torch.uint8, torch.int16, torch.int32
    fits = winners.dim() == 2 and winners.dtype in kinds and winners.is_contiguous() and images > 0
    if not fits or grad.shape != (winners.size(0), 2 * winners.size(1)) or winners.size(0) % images or num_src % images:
        raise ValueError(
            f"Contiguous winners (N, C) need gradients (N, 2 C), got {tuple(winners.shape)} of {winners.dtype} and "
            f"{tuple(grad.shape)} for {images} images with {num_src} sources."
        )
    count, channels = winners.shape
    sizes = images, count // images, num_src // images
    grad, grad_dst = grad.contiguous(), grad.new_empty(count, channels)
    grad_src = grad.new_zeros(num_src, channels, dtype=grad.dtype if in_order else torch.float32)
    if grad_dst.numel() == 0:
        return grad_src.to(grad.dtype), grad_dst
    shared = tiles(*sizes, channels, grad.element_size(), tuning)
    args = grad, winners, grad_src, grad_dst
    launch(
        _scatter,
        shared.grid,
        (*args, *shared.numbers),
        {"SUMS": not in_order, **shared.constants},
        num_warps=shared.warps,
    )
    if in_order and num_src:
        sources = min(_SOURCES, max(16, power_of_two(sizes[2])))
        grid = -(-sizes[2] // sources), -(-channels // _CHANNELS), images  # only the first axis is unlimited
        numbers = *sizes[1:], channels
        launch(
            _sum_in_order,
            grid,
            (grad, winners, grad_src, *numbers),
            {"SOURCES": sources, "CHANNELS": _CHANNELS},
            num_warps=4,
        )
    return grad_src.to(grad.dtype), grad_dst


@triton.jit(do_not_specialize=NUMBERS)
def _scatter(
    grad_ptr,
    winners_ptr,
    grad_src_ptr,
    grad_dst_ptr,
    n,
    m,
    groups,
    span,
    passes,
    SUMS: tl.constexpr,
    PART: tl.constexpr,
    ITEMS: tl.constexpr,
    WIDE: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    grad_ptr += image * n * groups * (2 * PART)
    winners_ptr += image * n * groups * PART
    grad_dst_ptr += image * n * groups * PART
    grad_src_ptr += image * m * groups * PART
    c, c2 = tl.arange(0, PART), tl.arange(0, 2 * PART)
    for part in range(0, passes):
        target, group, here = place(part, n, groups, span, passes, ITEMS, WIDE)
        at = (target * groups + group) * PART
        pairs = tl.load(grad_ptr + (2 * at)[:, None] + c2[None, :], here[:, None], 0.0).to(tl.float32)
        own, relative = tl.split(tl.reshape(pairs, (ITEMS, PART, 2)))
        winner = tl.load(winners_ptr + at[:, None] + c[None, :], here[:, None], 0).to(tl.int32)
        won = here[:, None] & (winner >= 0) & (winner < m)
        to_dst = tl.where(won, own - relative, own)
        tl.store(grad_dst_ptr + at[:, None] + c[None, :], to_dst.to(grad_dst_ptr.dtype.element_ty), here[:, None])
        if SUMS:
            s = winner.to(tl.int64) if WIDE else winner
            to_src = grad_src_ptr + (s * groups + group[:, None]) * PART + c[None, :]
            # `split` gives strided halves, but the interpreter of Triton 3.6 assumes dense memory
            tl.atomic_add(to_src, tl.where(won, relative, 0.0), won, sem="relaxed")


@triton.jit(do_not_specialize=["n", "m", "channels"])
def _sum_in_order(grad_ptr, winners_ptr, grad_src_ptr, n, m, channels, SOURCES: tl.constexpr, CHANNELS: tl.constexpr):
    image = tl.program_id(2).to(tl.int64)
    source = tl.program_id(0) * SOURCES + tl.arange(0, SOURCES)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    sums = tl.zeros((SOURCES, CHANNELS), tl.float32)
    for target in tl.range(0, n, loop_unroll_factor=4):
        at = (image * n + target) * channels + c
        winner = tl.load(winners_ptr + at, c < channels, 0).to(tl.int32)
        relative = tl.load(grad_ptr + 2 * at + 1, c < channels, 0.0).to(tl.float32)
        sums += tl.where(winner[None, :] == source[:, None], relative[None, :], 0.0)
    there = (image * m + source)[:, None] * channels + c[None, :]
    here = (source < m)[:, None] & (c < channels)[None, :]
    tl.store(grad_src_ptr + there, sums.to(grad_src_ptr.dtype.element_ty), here)
