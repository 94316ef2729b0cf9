"""Max-Relative compiled ahead of time for an H100 or H200, without one: what it holds, and what that predicts.

    uv run python examples/benchmarks/gpu_compiled_aggregation.py

As `gpu_compiled.py`, which counts instructions. The predicted time is the longest of issuing them, of reading neighbors
from the L1 caches (128 bytes a cycle and multiprocessor), and of memory; atomic additions, one for each channel of a
target, are counted with the rate at which the L2 cache takes sectors (two for each of its 48 slices and cycles).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from gpu_aggregation import SHAPES
from gpu_compiled import BANDWIDTH, CLOCK, IMAGES, REGISTERS, SMS, Code, compiled
from harness import write

from vig_pyg.ops._triton_max_relative import _gather
from vig_pyg.ops._triton_scatter_winners import _SOURCES, _scatter, _sum_in_order
from vig_pyg.ops._triton_tiles import BACKWARD, FORWARD, NUMBERS, Tiles, tiles

#: Bytes a second of all L1 caches, sectors a second of the L2 cache.
L1_RATE, ATOMIC_RATE = 128 * SMS * CLOCK, 96 * CLOCK
#: Microseconds of the kernels before these, with the checks around them, measured on an H200.
BEFORE = {"forward": (484, 206, 203, 160, 172), "backward": (537, 320, 591, 492, 465)}
WORDS = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}


def gather(shape: tuple[int, ...], dtype: torch.dtype, *, winners: bool, edges: bool) -> tuple[Code, Tiles]:
    """The forward kernel."""
    n, m, channels, _, _ = shape
    sizes = (1, IMAGES * n, IMAGES * m) if edges else (IMAGES, n, m)
    shared, word = tiles(*sizes, channels, dtype.itemsize), WORDS[dtype]
    types = {"src_ptr": word, "dst_ptr": word, "rows_ptr": "*i64" if edges else "*i16", "out_ptr": word}
    types["winners_ptr"] = "*i32" if edges else "*u8"
    pointers = list(types)
    types |= dict.fromkeys(["edges", "each", *NUMBERS], "i32")
    constants = {"EDGES": edges, "WINNERS": winners, "UNROLL": FORWARD.unroll, **shared.constants}
    return compiled(_gather, types, constants, pointers, num_warps=shared.warps), shared


def scatter(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Code, Tiles]:
    """The backward kernel with atomic additions."""
    n, m, channels, _, _ = shape
    shared, word = tiles(IMAGES, n, m, channels, dtype.itemsize, BACKWARD), WORDS[dtype]
    types = {"grad_ptr": word, "winners_ptr": "*u8", "grad_src_ptr": "*fp32", "grad_dst_ptr": word}
    pointers = list(types)
    types |= dict.fromkeys(NUMBERS, "i32")
    return compiled(_scatter, types, {"SUMS": True, **shared.constants}, pointers, num_warps=shared.warps), shared


def in_order(m: int, dtype: torch.dtype) -> Code:
    """The backward kernel that adds in the order of the targets."""
    word = WORDS[dtype]
    types = {"grad_ptr": word, "winners_ptr": "*u8", "grad_src_ptr": word}
    pointers = list(types)
    types |= dict.fromkeys(["n", "m", "channels"], "i32")
    constants = {"SOURCES": min(_SOURCES, max(16, triton.next_power_of_2(m))), "CHANNELS": 16}
    return compiled(_sum_in_order, types, constants, pointers, num_warps=4)


def held(code: Code, warps: int) -> dict[str, Any]:
    """What a kernel holds, and how many warps of it a multiprocessor holds."""
    resident = min(64 // warps, REGISTERS // (code.registers * 32 * warps)) * warps
    return {"registers": code.registers, "spilled": code.spilled, "shared": code.shared, "warps": resident}


def forward_rows(name: str, shape: tuple[int, ...], before: int, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Rows of the forward kernel: with and without winners, and over edges."""
    n, m, channels, _, kept = shape
    rows = []
    for kernel, winners, edges in (
        ("forward", False, False),
        ("forward, winners", True, False),
        ("edges", False, True),
    ):
        code, shared = gather(shape, dtype, winners=winners, edges=edges)
        loops = code.loops()
        inner = len(code.within(loops[-1])) if loops else 0  # the last loop goes over the neighbors
        turns = -(-(kept - 1) // FORWARD.unroll)
        issued = len(code.instructions) - inner + turns * inner
        a, b, c = shared.grid
        warps = a * b * c * shared.numbers[-1] * FORWARD.warps
        size, one = dtype.itemsize, IMAGES * n * channels
        moved = size * (3 * one + IMAGES * m * channels) + one * winners + IMAGES * n * kept * (10 if edges else 2)
        times = {
            "issue, us": 1e6 * warps * issued / (4 * SMS * CLOCK),
            "caches, us": 1e6 * size * one * kept / L1_RATE,
            "memory, us": 1e6 * moved / BANDWIDTH,
        }
        row = {"shape": name, "kernel": kernel, "type": str(dtype)[6:], **held(code, FORWARD.warps), **times}
        row["predicted, us"] = max(times.values())
        row["measured before, us"] = before if kernel == "edges" and dtype == torch.bfloat16 else ""
        rows.append(row)
    return rows


def backward_rows(name: str, shape: tuple[int, ...], before: int, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Rows of the backward kernels."""
    n, m, channels, _, _ = shape
    code, shared = scatter(shape, dtype)
    a, b, c = shared.grid
    warps = a * b * c * shared.numbers[-1] * BACKWARD.warps
    size, one = dtype.itemsize, IMAGES * n * channels
    moved = one * (3 * size + 1) + 4 * IMAGES * m * channels
    times = {
        "issue, us": 1e6 * warps * len(code.instructions) / (4 * SMS * CLOCK),
        "caches, us": 1e6 * one / ATOMIC_RATE,
        "memory, us": 1e6 * moved / BANDWIDTH,
    }
    told = {"shape": name, "kernel": "backward", "type": str(dtype)[6:]}
    rows = [{**told, **held(code, BACKWARD.warps), **times, "predicted, us": max(times.values())}]
    rows[0]["measured before, us"] = before if dtype == torch.bfloat16 else ""
    ordered = in_order(m, dtype)
    loop = max((len(ordered.within(loop)) for loop in ordered.loops()), default=0)
    # four targets a turn; as many sources as the tile has
    warps = -(-channels // 16) * -(-m // _SOURCES) * IMAGES * 4
    time = 1e6 * warps * (len(ordered.instructions) - loop + n / 4 * loop) / (4 * SMS * CLOCK)
    rows.append({**told, "kernel": "backward in order", **held(ordered, 4), "issue, us": time})
    rows[-1] |= {"caches, us": "", "memory, us": times["memory, us"], "predicted, us": time, "measured before, us": ""}
    return rows


def main() -> None:
    rows = []
    for number, (name, shape) in enumerate(SHAPES.items()):
        for dtype in WORDS:
            found = forward_rows(name, shape, BEFORE["forward"][number], dtype)
            found += backward_rows(name, shape, BEFORE["backward"][number], dtype)
            print(*found, sep="\n", flush=True)
            rows += found
    write("gpu_compiled_aggregation", rows, triton=triton.__version__, target="sm_90", batch_size=IMAGES)


if __name__ == "__main__":
    main()
