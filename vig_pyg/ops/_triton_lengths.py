"""Triton kernel that computes the lengths of feature vectors; one launch covers both targets and sources."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vig_pyg.ops._triton_launch import launch, power_of_two

#: Feature vectors shorter than this are not scaled to length 1.
_SHORTEST = tl.constexpr(1e-12)


def lengths(*features: Tensor) -> list[Tensor]:
    """Return the float32 lengths `(B, n)`, at least 1e-12, of the features `(B, n, C)` of one or two tensors."""
    x, y = features[0], features[-1]
    found = [part.new_empty(part.shape[:2], dtype=torch.float32) for part in features]
    rows, more = x.size(0) * x.size(1), y.size(0) * y.size(1) if len(features) > 1 else 0
    channels = x.size(2)
    width = min(1024, max(16, power_of_two(channels)))
    tile = 8192 // width  # each thread loads 16 bytes at a time, with several loads in flight
    grid = -(-rows // tile) - (-more // tile)
    if grid:
        constants = {"ROWS": tile, "CHANNELS": width}
        launch(_lengths, (grid,), (x, y, found[0], found[-1], rows, more, channels), constants, num_warps=4)
    return found


@triton.jit(do_not_specialize=["rows", "more"])
def _lengths(x_ptr, y_ptr, x_out, y_out, rows, more, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    program = tl.program_id(0)
    of_x = tl.cdiv(rows, ROWS)
    if program < of_x:
        _write(x_ptr, x_out, program, rows, channels, ROWS, CHANNELS)
    else:
        _write(y_ptr, y_out, program - of_x, more, channels, ROWS, CHANNELS)


@triton.jit
def _write(ptr, out, program, rows, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    row = program * ROWS + tl.arange(0, ROWS)
    here = row < rows
    c = tl.arange(0, CHANNELS)
    squares = tl.zeros((ROWS, CHANNELS), tl.float32)
    for start in range(0, channels, CHANNELS):
        at = row[:, None].to(tl.int64) * channels + start + c[None, :]
        part = tl.load(ptr + at, here[:, None] & (start + c[None, :] < channels), 0.0).to(tl.float32)
        squares += part * part
    tl.store(out + row, tl.maximum(tl.sqrt(tl.sum(squares, 1)), _SHORTEST), here)
