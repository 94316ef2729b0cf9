r"""Each target beside its largest difference to a neighbor, forward and backward, on a GPU, in Triton.

Equation: :math:`[x_{i1}, m_{i1}, x_{i2}, m_{i2}, \dots]` with :math:`m_{ic} = \max_{j \in N(i)} y_{jc} - x_{ic}`, 0
without neighbors. Shapes: sources y `(M, C)`, targets x `(N, C)`, result `(N, 2 C)`.

Bytes that must move, with s the size of a number: forward s C (M + 3 N) and 8 E, the slots 2 N C besides when training;
backward s C 3 N, 2 N C slots and 4 C M of sums. No tensor has a row for each edge. Gradients of sources are summed
by atomic additions in float32: their order, and so the last bits, vary.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Targets and channels of one program.
_TILE = {"TARGETS": 16, "CHANNELS": 64}


def gather_max(x_src: Tensor, x_dst: Tensor, source: Tensor, first: Tensor, *, winners: bool) -> tuple[Tensor, Tensor]:
    """The result, and which neighbor won.

    Args:
        x_src: Sources `(M, C)`, float32, float16 or bfloat16.
        x_dst: Targets `(N, C)` of the same type.
        source: Source of each edge, sorted by target, `(E,)`.
        first: First edge of each target, and E, `(N + 1,)`.
        winners: Whether to keep the slots.

    Returns:
        `(N, 2 C)`, and slots `(N, C)` (or `(0, C)`): the winner among the target's edges, -1 without neighbors. A
        source that does not exist gives NaN; nothing is read beyond the tensors.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    n, channels = x_dst.shape
    if x_src.size(1) != channels or x_src.dtype != x_dst.dtype:
        raise ValueError(
            f"Sources and targets must have one width and type, got {tuple(x_src.shape)} of {x_src.dtype} and "
            f"{tuple(x_dst.shape)} of {x_dst.dtype}."
        )
    _check_rows(source, first, n)
    out = x_dst.new_empty(n, 2 * channels)
    slots = torch.empty(n if winners else 0, channels, dtype=torch.int16, device=x_dst.device)
    grid = triton.cdiv(n, _TILE["TARGETS"]), triton.cdiv(channels, _TILE["CHANNELS"])
    if out.numel() == 0:
        return out, slots
    inputs = x_src.contiguous(), x_dst.contiguous(), source, first
    _forward[grid](*inputs, out, slots, x_src.size(0), n, channels, WINNERS=winners, **_TILE)
    return out, slots


def scatter_winners(grad: Tensor, source: Tensor, first: Tensor, slots: Tensor, num_src: int) -> tuple[Tensor, Tensor]:
    """Gradients of sources and targets, in the type of `grad (N, 2 C)`.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    n, channels = slots.shape
    if grad.shape != (n, 2 * channels) or slots.dtype != torch.int16 or not slots.is_contiguous():
        raise ValueError(
            f"Slots (N, C) of int16, contiguous, have gradients (N, 2 C), got {tuple(slots.shape)} of {slots.dtype} "
            f"and {tuple(grad.shape)}."
        )
    _check_rows(source, first, n)
    grad_src = torch.zeros(num_src, channels, dtype=torch.float32, device=grad.device)
    grad_dst = grad.new_empty(n, channels)
    grid = triton.cdiv(n, _TILE["TARGETS"]), triton.cdiv(channels, _TILE["CHANNELS"])
    if grad_dst.numel():
        sizes = num_src, n, channels
        _backward[grid](grad.contiguous(), source, first, slots, grad_src, grad_dst, *sizes, **_TILE)
    return grad_src.to(grad.dtype), grad_dst


def _check_rows(source: Tensor, first: Tensor, n: int) -> None:
    rows = source.dtype == first.dtype == torch.int64 and source.dim() == 1 and first.shape == (n + 1,)
    if not (rows and source.is_contiguous() and first.is_contiguous()):
        raise ValueError(
            f"Rows of {n} targets are sources (E,) and first edges ({n + 1},) of int64, contiguous, got "
            f"{tuple(source.shape)} of {source.dtype} and {tuple(first.shape)} of {first.dtype}."
        )


@triton.jit
def _forward(
    src_ptr,
    dst_ptr,
    source_ptr,
    first_ptr,
    out_ptr,
    slots_ptr,
    m,
    n,
    channels,
    WINNERS: tl.constexpr,
    TARGETS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    target = tl.program_id(0).to(tl.int64) * TARGETS + tl.arange(0, TARGETS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    here = (target[:, None] < n) & (c[None, :] < channels)
    start = tl.load(first_ptr + target, target < n, 0)
    degree = tl.load(first_ptr + target + 1, target < n, 0) - start
    largest = tl.full((TARGETS, CHANNELS), float("-inf"), tl.float32)
    slot = tl.full((TARGETS, CHANNELS), -1, tl.int16)
    for j in range(0, tl.max(degree)):
        s = tl.load(source_ptr + start + j, j < degree, 0)
        on = here & (j < degree)[:, None]
        exists = ((s >= 0) & (s < m))[:, None]
        value = tl.load(src_ptr + s[:, None] * channels + c[None, :], on & exists, float("nan")).to(tl.float32)
        wins = on & ((value > largest) | (slot < 0) | ((value != value) & (largest == largest)))
        largest = tl.where(wins, value, largest)
        slot = tl.where(wins, (tl.zeros_like(slot) + j).to(tl.int16), slot)
    x = tl.load(dst_ptr + target[:, None] * channels + c[None, :], here, 0.0).to(tl.float32)
    difference = tl.where(slot < 0, 0.0, largest - x)
    pairs = tl.reshape(tl.join(x, difference), (TARGETS, 2 * CHANNELS))
    c2 = tl.program_id(1) * 2 * CHANNELS + tl.arange(0, 2 * CHANNELS)
    at = out_ptr + target[:, None] * (2 * channels) + c2[None, :]
    tl.store(at, pairs, (target[:, None] < n) & (c2[None, :] < 2 * channels))
    if WINNERS:
        tl.store(slots_ptr + target[:, None] * channels + c[None, :], slot, here)


@triton.jit
def _backward(
    grad_ptr,
    source_ptr,
    first_ptr,
    slots_ptr,
    grad_src_ptr,
    grad_dst_ptr,
    m,
    n,
    channels,
    TARGETS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    target = tl.program_id(0).to(tl.int64) * TARGETS + tl.arange(0, TARGETS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    here = (target[:, None] < n) & (c[None, :] < channels)
    at = grad_ptr + target[:, None] * (2 * channels) + 2 * c[None, :]
    own = tl.load(at, here, 0.0).to(tl.float32)
    slot = tl.load(slots_ptr + target[:, None] * channels + c[None, :], here, -1)
    won = here & (slot >= 0)
    relative = tl.load(at + 1, won, 0.0).to(tl.float32)
    tl.store(grad_dst_ptr + target[:, None] * channels + c[None, :], own - relative, here)
    start = tl.load(first_ptr + target, target < n, 0)
    degree = tl.load(first_ptr + target + 1, target < n, 0) - start
    won = won & (slot < degree[:, None])
    s = tl.load(source_ptr + start[:, None] + slot.to(tl.int64), won, 0)
    tl.atomic_add(grad_src_ptr + s * channels + c[None, :], relative, won & (s >= 0) & (s < m), sem="relaxed")
