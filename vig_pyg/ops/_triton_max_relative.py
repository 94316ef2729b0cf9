r"""Triton kernels of max-relative aggregation.

Equation: :math:`[x_{i1}, m_{i1}, x_{i2}, m_{i2}, \dots]` with :math:`m_{ic} = \max_{j \in N(i)} y_{jc} - x_{ic}`, or 0
without neighbors. Shapes: sources y `(M, C)`, targets x `(N, C)`, result `(N, 2 C)`, winners `(N, C)`.

Neighbors are given as edges sorted by target, or as indices within the image, `(B, n, kept)`. In regular graphs, the
edges of target i start at :math:`i E / N`. The kernel checks this, and uses bisection for other graphs. Therefore no
other kernel needs to run first.

Memory traffic in bytes, with s bytes per element: s C (M + 3 N) for features, 2 per neighbor (or 8 per edge), and in
training 1 to 4 N C for the winners. No tensor has one row per edge. If several neighbors attain the maximum, the first
one wins.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vig_pyg.ops._triton_launch import launch
from vig_pyg.ops._triton_tiles import FORWARD, NUMBERS, Tuning, place, tiles
from vig_pyg.ops.rows import winner_type


def gather_max(
    x_src: Tensor, x_dst: Tensor, edges: Tensor, *, winners: bool, tuning: Tuning = FORWARD
) -> tuple[Tensor, Tensor]:
    """Return the result, and the index of the source that attains each maximum.

    Args:
        x_src: Sources `(M, C)`, float32, float16 or bfloat16.
        x_dst: Targets `(N, C)` of the same dtype.
        edges: Edges `(2, E)`, sources in row 0 and targets in row 1, sorted by target, contiguous.
        winners: If true, the winners are stored.
        tuning: Tile sizes.

    Returns:
        The result `(N, 2 C)`, and the winners `(N, C)` (or `(0, C)`) as int32 source indices, or -1 for targets without
        neighbors. If a source does not exist, the result is NaN; no memory outside of the tensors is read.

    Raises:
        ValueError: If the shapes do not match.
    """
    if edges.dtype != torch.int64 or edges.dim() != 2 or edges.size(0) != 2 or not edges.is_contiguous():
        raise ValueError(f"Edges must be contiguous int64 (2, E), got {tuple(edges.shape)} of {edges.dtype}.")
    n, count = x_dst.size(0), edges.size(1)
    each = count // n if n and count % n == 0 else 0
    out, kept = _empty(x_src, x_dst, torch.int32, winners=winners)
    _launch((x_src, x_dst, edges, out, kept), (1, n, x_src.size(0)), count, each, tuning)
    return out, kept


def gather_neighbors(
    x_src: Tensor, x_dst: Tensor, neighbors: Tensor, *, winners: bool, tuning: Tuning = FORWARD
) -> tuple[Tensor, Tensor]:
    """As `gather_max`, for neighbors and winners that are indices within their image.

    Args:
        x_src: Sources `(B m, C)`, float32, float16 or bfloat16.
        x_dst: Targets `(B n, C)` of the same type.
        neighbors: Sources of each target `(B, n, kept)`, int16 or int32, contiguous, kept at least 1.
        winners: If true, the winners are stored with the dtype `winner_type(m)`.
        tuning: Tile sizes.

    Raises:
        ValueError: If the shapes do not match.
    """
    kinds = torch.int16, torch.int32
    if neighbors.dtype not in kinds or neighbors.dim() != 3 or neighbors.size(2) < 1 or not neighbors.is_contiguous():
        raise ValueError(
            f"Neighbors must be contiguous int16 or int32 (B, n, kept), got {tuple(neighbors.shape)} of "
            f"{neighbors.dtype}."
        )
    images, n, kept = neighbors.shape
    m = x_src.size(0) // max(1, images)
    if x_src.size(0) != images * m or x_dst.size(0) != images * n or (m == 0 < n):
        raise ValueError(
            f"Neighbors {tuple(neighbors.shape)} do not fit {x_src.size(0)} sources and {x_dst.size(0)} targets."
        )
    out, winner = _empty(x_src, x_dst, winner_type(m), winners=winners)
    _launch((x_src, x_dst, neighbors, out, winner), (images, n, m), 0, kept, tuning)
    return out, winner


def _empty(x_src: Tensor, x_dst: Tensor, kind: torch.dtype, *, winners: bool) -> tuple[Tensor, Tensor]:
    n, channels = x_dst.shape
    if x_src.size(1) != channels or x_src.dtype != x_dst.dtype:
        raise ValueError(
            f"Sources and targets must have the same width and dtype, got {tuple(x_src.shape)} of {x_src.dtype} and "
            f"{tuple(x_dst.shape)} of {x_dst.dtype}."
        )
    return x_dst.new_empty(n, 2 * channels), x_dst.new_empty(n if winners else 0, channels, dtype=kind)


def _launch(tensors: tuple[Tensor, ...], sizes: tuple[int, int, int], edges: int, each: int, tuning: Tuning) -> None:
    x_src, x_dst, rows, out, winner = tensors
    if out.numel():
        shared = tiles(*sizes, x_dst.size(1), x_dst.element_size(), tuning)
        constants = {"EDGES": rows.dtype == torch.int64, "WINNERS": winner.numel() > 0, "UNROLL": tuning.unroll}
        args = x_src.contiguous(), x_dst.contiguous(), rows, out, winner
        launch(
            _gather,
            shared.grid,
            (*args, edges, each, *shared.numbers),
            {**constants, **shared.constants},
            num_warps=shared.warps,
        )


@triton.jit(do_not_specialize=[*NUMBERS, "edges", "each"])
def _gather(
    src_ptr,
    dst_ptr,
    rows_ptr,
    out_ptr,
    winners_ptr,
    edges,
    each,
    n,
    m,
    groups,
    span,
    passes,
    EDGES: tl.constexpr,
    WINNERS: tl.constexpr,
    UNROLL: tl.constexpr,
    PART: tl.constexpr,
    ITEMS: tl.constexpr,
    WIDE: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    src_ptr += image * m * groups * PART
    dst_ptr += image * n * groups * PART
    out_ptr += image * n * groups * (2 * PART)
    winners_ptr += image * n * groups * PART
    if not EDGES:
        rows_ptr += image * n * each
    c, c2 = tl.arange(0, PART), tl.arange(0, 2 * PART)
    for part in range(0, passes):
        target, group, here = place(part, n, groups, span, passes, ITEMS, WIDE)
        if EDGES:
            first, degree = _row(rows_ptr + edges, edges, each, target, here)
            most = tl.max(degree)
        else:
            first, degree, most = target.to(tl.int64) * each, tl.zeros_like(group) + each, each
        at = (target * groups + group) * PART
        row = src_ptr + (group * PART)[:, None] + c[None, :]
        largest, winner = _largest(row, rows_ptr + first, degree, most, m, groups * PART, EDGES, WINNERS, UNROLL, WIDE)
        x = tl.load(dst_ptr + at[:, None] + c[None, :]).to(tl.float32)
        difference = largest - x
        if EDGES:
            difference = tl.where((degree > 0)[:, None], difference, 0.0)
        pairs = tl.reshape(tl.join(x, difference), (ITEMS, 2 * PART))
        tl.store(out_ptr + (2 * at)[:, None] + c2[None, :], pairs.to(out_ptr.dtype.element_ty), here[:, None])
        if WINNERS:
            tl.store(winners_ptr + at[:, None] + c[None, :], winner.to(winners_ptr.dtype.element_ty), here[:, None])


@triton.jit
def _largest(
    row,
    edge_ptr,
    degree,
    most,
    m,
    channels,
    EDGES: tl.constexpr,
    WINNERS: tl.constexpr,
    UNROLL: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Return the maximum over each target's neighbors (NaN if one does not exist) and, with `WINNERS`, its source."""
    largest, s, exists = _neighbor(row, edge_ptr, degree > 0, m, channels, EDGES, WIDE)
    winner = tl.broadcast_to(s[:, None], largest.shape)
    for start in range(1, most, UNROLL):
        for step in tl.static_range(UNROLL):
            # after the last neighbor, it is read again, which does not change the maximum
            j = tl.minimum(start + step, degree - 1) if EDGES else tl.minimum(start + step, most - 1)
            y, s, there = _neighbor(row, edge_ptr + j, degree > 0, m, channels, EDGES, WIDE)
            exists &= there
            if WINNERS:
                winner = tl.where(y <= largest, winner, s[:, None])
            largest = tl.maximum(largest, y, propagate_nan=tl.PropagateNan.ALL)
    lost = exists == 0
    return tl.where(lost[:, None], float("nan"), largest), tl.where(lost[:, None], -1, winner)


@triton.jit
def _neighbor(row, edge_ptr, some, m, channels, EDGES: tl.constexpr, WIDE: tl.constexpr):
    """Return the features and index of one neighbor of each target, and whether it exists (else source 0)."""
    s = tl.load(edge_ptr, some, -1) if EDGES else tl.load(edge_ptr)
    exists = (s >= 0) & (s < m)
    s = tl.where(exists, s, 0)
    s = s.to(tl.int64) if WIDE else s.to(tl.int32)
    y_at = row + (s * channels)[:, None]
    y = tl.load(y_at, exists[:, None]) if EDGES else tl.load(y_at)  # if there are no edges, there may be no sources
    return y.to(tl.float32), s.to(tl.int32), exists


@triton.jit
def _row(target_ptr, edges, each, target, here):
    """Return the index of the first edge and the number of edges of each target."""
    first = target.to(tl.int64) * each
    last = first + (each - 1)
    some = here & (last >= first)
    fits = (tl.load(target_ptr + first, some, -1) == target) & (tl.load(target_ptr + last, some, -1) == target)
    # The edges are sorted. If these two edges belong to the target and their outer neighbors do not, the range is
    # correct.
    fits &= tl.load(target_ptr + first - 1, some & (first > 0), -1) != target
    fits &= tl.load(target_ptr + last + 1, some & (last + 1 < edges), -1) != target
    degree = tl.zeros_like(first) + each
    if tl.max((here & (fits == 0)).to(tl.int32)) > 0:
        first = _bisect(target_ptr, edges, target)
        degree = _bisect(target_ptr, edges, target + 1) - first
    return first, tl.where(here, degree, 0).to(tl.int32)


@triton.jit
def _bisect(target_ptr, edges, target):
    """Return the number of edges to targets before this one."""
    low = tl.zeros_like(target).to(tl.int64)
    high = low + edges
    while tl.max((low < high).to(tl.int32)) > 0:
        middle = (low + high) // 2
        before = tl.load(target_ptr + middle, low < high, 0) < target
        high = tl.where((low < high) & (before == 0), middle, high)
        low = tl.where((low < high) & before, middle + 1, low)
    return low
