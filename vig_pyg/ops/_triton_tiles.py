"""How the kernels of Max-Relative share their work among programs.

A thread holds so many channels of one target that it reads and writes vectors. The threads of a program share an image
and a slice of its channels: the same rows of sources are read many times, and mostly from the L1 cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import triton
import triton.language as tl


class Tuning(NamedTuple):
    """Sizes that can be measured again.

    Bytes of the interleaved result that a thread holds, warps and most passes of a program, channel groups of a slice,
    and neighbors of a target that are read at once.
    """

    bytes: int = 32
    warps: int = 4
    passes: int = 4
    span: int = 16
    unroll: int = 4


class Tiles(NamedTuple):
    """The grid, the numbers that each program must know, and what it is compiled for."""

    grid: tuple[int, int, int]
    numbers: tuple[int, ...]
    constants: dict[str, Any]
    warps: int


#: Names of the numbers: no kernel is compiled anew for another value of them.
NUMBERS = ["n", "m", "groups", "span", "passes"]
#: The fastest on an H200 over the layers of pvig_small and vig_small (examples/benchmarks/gpu_aggregation.py). Atomic
#: additions of neighboring threads go to neighboring channels: those of one winner are one access.
FORWARD, BACKWARD = Tuning(), Tuning(bytes=4, span=64)
#: Programs that fill a large GPU several times: fewer passes rather than fewer programs.
_PROGRAMS = 8192


@lru_cache(maxsize=256)
def tiles(images: int, n: int, m: int, channels: int, item_size: int, tuning: Tuning = FORWARD) -> Tiles:
    """How programs share targets and channels.

    Args:
        images: Images, or one for nodes that are numbered over all of them.
        n: Targets of an image.
        m: Sources of an image.
        channels: Channels C.
        item_size: Bytes of a number.
        tuning: Sizes of the tiles.

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
    # what lies beyond the last target is counted too
    last = n * span + 2 * items * passes
    wide = (max(last, m) * 2 * channels >= 2**31) + (last >= 2**31)
    constants = {"PART": part, "ITEMS": items, "WIDE": wide}
    return Tiles((-(-count // passes), slices, images), (n, m, groups, span, passes), constants, tuning.warps)


@triton.jit
def place(part, n, groups, span, passes, ITEMS: tl.constexpr, WIDE: tl.constexpr):
    """Target and channel group of each thread in one pass, and whether they exist; if not, the last stand for them."""
    program = tl.program_id(0) * passes + part
    if WIDE > 1:  # there are more of them than 32 bits count
        program = program.to(tl.int64)
    item = program * ITEMS + tl.arange(0, ITEMS)
    target = item // span
    group = tl.program_id(1) * span + (item % span).to(tl.int32)
    here = (target < n) & (group < groups)
    target, group = tl.minimum(target, n - 1), tl.minimum(group, groups - 1)
    if WIDE:
        target = target.to(tl.int64)
    return target, group, here
