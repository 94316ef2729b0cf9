r"""Edges to the nearest sources: one pass over on-chip memory of a GPU, in Triton.

Equation: the sources of rank 0, `step`, `2 step`, ... by falling :math:`x_i \cdot y_s + b_{is}`.
Shapes: targets `(B, n, C)`, sources `(B, m, C)`, bias `(1 or B, 1 or n, m)`, edges `(2, B n ⌈k / step⌉)`.

A program takes a tile of targets of one image, multiplies it with one tile of sources after the other, and keeps the k
best of each target in registers: products are never written. Scores and indices travel as one 64-bit key, so that
sorting keys sorts both, and equal scores keep the order of the sources.

Bytes that must move: features once (4 B (n + m) C), the bias where it has rows (4 n m), edges (16 B n ⌈k / step⌉);
sources are read again by every tile of targets, from the cache. Operations: 2 B n m C.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Neighbors that are kept on chip.
MOST_NEIGHBORS = 128
#: Smaller than every key of a score.
_NO_KEY = tl.constexpr(-(2**63))
_INDEX = tl.constexpr(2**32 - 1)


def search(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor) -> Tensor:
    """Edges from every `step`-th of the k best sources to each target, sorted by target, best first.

    Args:
        x: Targets `(B, n, C)`, float32; products are taken and summed in float32, without TF32.
        y: Sources `(B, m, C)`, float32.
        k: How many of the best are looked at, at most `MOST_NEIGHBORS` and m.
        step: Which of them stay: ranks 0, step, 2 step, ...
        bias: Added to the products, `(1 or B, 1 or n, m)`, float32.

    Returns:
        `edge_index (2, B n ⌈k / step⌉)`: sources counted over the batch, targets.

    Raises:
        ValueError: If types or shapes do not fit each other.
    """
    (images, n, channels), m = x.shape, y.size(1)
    if not x.dtype == y.dtype == bias.dtype == torch.float32:
        raise ValueError(f"The search takes float32, got {x.dtype}, {y.dtype} and a bias of {bias.dtype}.")
    shapes = y.shape == (images, m, channels) and bias.dim() == 3 and bias.size(2) == m
    if not shapes or bias.size(0) not in (1, images) or bias.size(1) not in (1, n):
        raise ValueError(
            f"Targets (B, n, C), sources (B, m, C) and a bias (1 or B, 1 or n, m) do not fit each other: got "
            f"{tuple(x.shape)}, {tuple(y.shape)} and {tuple(bias.shape)}."
        )
    if not 1 <= k <= min(m, MOST_NEIGHBORS) or step < 1:
        raise ValueError(f"Need 1 <= k <= {min(m, MOST_NEIGHBORS)} and step >= 1, got k={k} and step={step}.")
    step = min(step, k)
    kept = triton.cdiv(k, step)
    edges = torch.empty(2, images * n * kept, dtype=torch.long, device=x.device)
    if edges.numel() == 0:
        return edges
    best = max(2, triton.next_power_of_2(k))
    sources = max(64, best)
    targets = 32 if sources <= 64 else 16  # keys of a tile: 16 KiB at most
    strides = (bias.stride(i) if bias.size(i) > 1 else 0 for i in range(2))
    _search[(triton.cdiv(n, targets), images)](
        x.contiguous(),
        y.contiguous(),
        bias,
        edges,
        edges.stride(0),
        n,
        m,
        channels,
        *strides,
        bias.stride(2),
        k,
        step,
        kept,
        TARGETS=targets,
        SOURCES=sources,
        BEST=best,
        CHANNELS=32,
        num_warps=4,
    )
    return edges


@triton.jit
def _search(
    x_ptr,
    y_ptr,
    bias_ptr,
    edges_ptr,
    row,
    n,
    m,
    channels,
    bias_image,
    bias_target,
    bias_source,
    k,
    step,
    kept,
    TARGETS: tl.constexpr,
    SOURCES: tl.constexpr,
    BEST: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    image = tl.program_id(1).to(tl.int64)
    target = tl.program_id(0) * TARGETS + tl.arange(0, TARGETS)
    best = tl.full((TARGETS, BEST), _NO_KEY, tl.int64)
    for first in range(0, m, SOURCES):
        source = first + tl.arange(0, SOURCES)
        scores = tl.zeros((TARGETS, SOURCES), tl.float32)
        for start in range(0, channels, CHANNELS):
            c = start + tl.arange(0, CHANNELS)
            x_at = x_ptr + (image * n + target)[:, None] * channels + c[None, :]
            y_at = y_ptr + (image * m + source)[:, None] * channels + c[None, :]
            a = tl.load(x_at, (target[:, None] < n) & (c[None, :] < channels), 0.0)
            b = tl.load(y_at, (source[:, None] < m) & (c[None, :] < channels), 0.0)
            scores += tl.dot(a, tl.trans(b), input_precision="ieee")
        here = (target[:, None] < n) & (source[None, :] < m)
        places = image * bias_image + target[:, None] * bias_target + source[None, :] * bias_source
        scores += tl.load(bias_ptr + places, here, 0.0)
        keys = tl.where(here, _keys(scores, source[None, :]), _NO_KEY)
        worst = tl.min(best, 1)
        if tl.max((keys > worst[:, None]).to(tl.int32)) > 0:  # most tiles of far sources change nothing
            top = tl.topk(keys, BEST)
            # the larger of two sorted lists, one turned round, are the best of both
            best = tl.sort(tl.maximum(best, tl.flip(top, 1)), descending=True)
    rank = tl.arange(0, BEST)
    chosen = (target[:, None] < n) & (rank[None, :] < k) & (rank[None, :] % step == 0)
    at = (image * n + target)[:, None] * kept + (rank // step)[None, :]
    tl.store(edges_ptr + at, image * m + (_INDEX - (best & _INDEX)), chosen)
    tl.store(edges_ptr + row + at, (image * n + target)[:, None] + tl.zeros_like(rank)[None, :], chosen)


@triton.jit
def _keys(scores, index):
    """64-bit keys in the order of the scores, and of falling index where these are equal."""
    bits = tl.where(scores == 0, 0.0, scores).to(tl.int32, bitcast=True)  # -0 is 0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(tl.int64) << 32) | (_INDEX - index.to(tl.int64))
