"""The distribution of max-relative aggregation over the programs of the Triton kernels.

A thread processes enough channels of one target to read and write vectors. The threads of a program process the same
image and slice of channels. Rows of sources are therefore read many times, but mostly from the L1 cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import triton
import triton.language as tl


class Tuning(NamedTuple):
    """Tile sizes, which can be changed for measurements.

    They are the bytes of the interleaved result per thread, the warps and the largest number of passes per program, the
    channel groups per slice, and the neighbors of a target that are read at once.
    """

    bytes: int = 32
    warps: int = 4
    passes: int = 4
    span: int = 16
    unroll: int = 4


class Tiles(NamedTuple):
    """The launch grid, the arguments of each program, and the compile-time constants."""

    grid: tuple[int, int, int]
    numbers: tuple[int, ...]
    constants: dict[str, Any]
    warps: int


#: Names of the arguments for whose values kernels are not specialized.
NUMBERS = ["n", "m", "groups", "span", "passes"]
#: The fastest on an H200 over the layers of pvig_small and vig_small (examples/benchmarks/gpu_aggregation.py).
#: Neighboring threads add to neighboring channels, so the atomic additions for one winner are a single memory access.
FORWARD, BACKWARD = Tuning(), Tuning(bytes=4, span=64)
#: A number of programs that fills a large GPU several times; if there are fewer programs, the number of passes is
#: reduced.
_PROGRAMS = 8192


@lru_cache(maxsize=256)
def tiles(images: int, n: int, m: int, channels: int, item_size: int, tuning: Tuning = FORWARD) -> Tiles:
    """Compute the distribution of targets and channels over programs.

    Args:
        images: Number of images, or 1 if the nodes are indexed over the whole batch.
        n: Number of targets per image.
        m: Number of sources per image.
        channels: Number of channels C.
        item_size: Bytes per element.
        tuning: Tile sizes.

    Example:
        >>> tiles(128, 196, 196, 400, 2).numbers
        (196, 196, 50, 13, 1)
    """
    part = max(1, tuning.bytes // (2 * item_size))
    while channels % part:
        part //= 2
    groups = channels // part
    slices = -(-groups // tuning.span)
    span = -(-groups // slices)
    items = 32 * tuning.warps
    count = -(-n * span // items)
    passes = max(1, min(tuning.passes, count * slices * images // _PROGRAMS))
    # this count includes positions after the last target
    last = n * span + 2 * items * passes
    wide = (max(last, m) * 2 * channels >= 2**31) + (last >= 2**31)
    constants = {"PART": part, "ITEMS": items, "WIDE": wide}
    return Tiles((-(-count // passes), slices, images), (n, m, groups, span, passes), constants, tuning.warps)


@triton.jit
def place(part, n, groups, span, passes, ITEMS: tl.constexpr, WIDE: tl.constexpr):
    """Return the target and channel group of each thread in one pass (at most the last ones), and if they exist."""
    program = tl.program_id(0) * passes + part
    if WIDE > 1:  # the index exceeds 32 bits
        program = program.to(tl.int64)
    item = program * ITEMS + tl.arange(0, ITEMS)
    target = item // span
    group = tl.program_id(1) * span + (item % span).to(tl.int32)
    here = (target < n) & (group < groups)
    target, group = tl.minimum(target, n - 1), tl.minimum(group, groups - 1)
    if WIDE:
        target = target.to(tl.int64)
    return target, group, here
