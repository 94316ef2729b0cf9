"""How the kernels of Max-Relative share their work among programs.

A thread holds so many channels of one target that it reads and writes vectors. The threads of a program share an image
and a slice of its channels: the same rows of sources are read many times, and mostly from the L1 cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl


class Tuning(NamedTuple):
    """Sizes that can be measured again.

    Bytes of the interleaved result that a thread holds, warps and most passes of a program, channel groups of a slice,
    and neighbors of a target that are read at once.
    """

    bytes: int = 32
    warps: int = 8
    passes: int = 8
    span: int = 16
    unroll: int = 4


class Tiles(NamedTuple):
    """The grid, the numbers that each program must know, and what it is compiled for."""

    grid: tuple[int, int, int]
    numbers: tuple[int, ...]
    options: dict[str, Any]


#: Names of the numbers: no kernel is compiled anew for another value of them.
NUMBERS = ["n", "m", "groups", "span", "passes"]
#: By instructions and registers of the compiled kernels (examples/benchmarks/gpu_compiled_aggregation.py): the forward
#: pass has more to do for each vector, the backward pass none of its own.
FORWARD, BACKWARD = Tuning(), Tuning(bytes=16)
#: Programs that fill a large GPU: fewer passes rather than fewer programs.
_PROGRAMS = 2048


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
    slices = triton.cdiv(groups, tuning.span)
    span = triton.cdiv(groups, slices)
    items = 32 * tuning.warps
    count = triton.cdiv(n * span, items)
    passes = max(1, min(tuning.passes, count * slices * images // _PROGRAMS))
    # what lies beyond the last target is counted too
    wide = max(n * span + 2 * items * passes, m) * 2 * channels >= 2**31
    options = {"PART": part, "ITEMS": items, "WIDE": wide, "num_warps": tuning.warps}
    return Tiles((triton.cdiv(count, passes), slices, images), (n, m, groups, span, passes), options)


@triton.jit
def place(part, n, groups, span, passes, ITEMS: tl.constexpr, WIDE: tl.constexpr):
    """Target and channel group of each thread in one pass, and whether they exist; if not, the last stand for them."""
    item = (tl.program_id(0) * passes + part) * ITEMS + tl.arange(0, ITEMS)
    target = item // span
    group = tl.program_id(1) * span + item % span
    here = (target < n) & (group < groups)
    target, group = tl.minimum(target, n - 1), tl.minimum(group, groups - 1)
    if WIDE:
        target = target.to(tl.int64)
    return target, group, here
