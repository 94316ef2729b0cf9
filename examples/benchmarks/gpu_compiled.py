"""Kernels compiled ahead of time for an H100 or H200, where there is no GPU: what they hold, and what that predicts.

    uv run python examples/benchmarks/gpu_compiled.py

The search among few sources (224 px) and many (800 x 1280), and kernels of batch norm in training. Registers, spilled
bytes and shared memory are the compiler's; instructions are counted in its machine code, those of loops as often as
they run. The predicted time is the longest of issuing them (four a cycle and multiprocessor), of the tensor cores and
of memory; times that were measured stand beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

os.environ["TRITON_INTERPRET"] = "0"  # asked when the kernels are imported

import torch
import triton
from gpu_search import SHAPES
from harness import write
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from vig_pyg.ops import _triton_batch_norm as norms
from vig_pyg.ops._triton_knn import tile_for
from vig_pyg.ops._triton_knn_row import search_row
from vig_pyg.ops._triton_knn_tiles import search_tiles
from vig_pyg.position import TABLE_LIMIT

IMAGES = 128
#: The layers of pvig_small at 800 x 1280 with four images, and how often a program searches its tiles, by neighbor.
#: It was counted on a photo in the first layer: 75 times for nine neighbors with tiles of 128 sources, 110 with 64.
LARGE = {
    "pvig_small stage 1": (64000, 4000, 80, 9, 9),
    "pvig_small stage 2": (16000, 4000, 160, 9, 9),
    "pvig_small stage 3": (4000, 4000, 400, 17, 9),
    "pvig_small stage 4": (1000, 1000, 640, 25, 9),
}
LARGE_IMAGES, MERGES = 4, {128: 75 / 9, 64: 110 / 9}
#: An H200: multiprocessors, cycles a second, products a second of bfloat16, bytes a second of its memory; registers and
#: bytes of shared memory of a multiprocessor.
SMS, CLOCK, HALF_RATE, BANDWIDTH = 132, 1.755e9, 790e12, 4.2e12
REGISTERS, SHARED = 65536, 228 * 1024
#: Milliseconds measured on an H200 with the lengths of sources, at the first shape. At the others the kernel runs
#: shorter than its launch takes.
MEASURED: dict[str, tuple[float | None, ...]] = {
    "float32": (0.475,),
    "bfloat16": (0.284,),
}
_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
_LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.x]+)(.*)$", re.MULTILINE)


class Code(NamedTuple):
    """A kernel's machine code: what it holds, and its instructions with their addresses."""

    registers: int
    spilled: int
    shared: int
    instructions: list[tuple[int, str, str]]

    def loops(self) -> list[tuple[int, int]]:
        """Addresses of the innermost loops: from the target of a jump backwards to the jump."""
        found = []
        for address, name, rest in self.instructions:
            target = re.search(r"0x([0-9a-f]+)", rest) if name.startswith("BRA") else None
            if target and int(target[1], 16) < address:
                found.append((int(target[1], 16), address))
        return [loop for loop in found if not any(loop[0] <= a and b < loop[1] for a, b in found if (a, b) != loop)]

    def within(self, loop: tuple[int, int]) -> list[str]:
        return [name for address, name, _ in self.instructions if loop[0] <= address <= loop[1]]


def compiled(
    kernel: Any, types: dict[str, str], constants: dict[str, Any], divisible: list[str], **options: int
) -> Code:
    """A kernel for compute capability 9.0."""
    names = [*types, *constants]
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in divisible}
    source = ASTSource(kernel, {**types, **dict.fromkeys(constants, "constexpr")}, constants, attributes)
    result = compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(result.asm["cubin"])
        usage, code = (
            subprocess.run([_TOOLS / "cuobjdump", option, file], capture_output=True, text=True, check=True).stdout
            for option in ("--dump-resource-usage", "-sass")
        )
    lines = [(int(address, 16), name, rest) for address, name, rest in _LINE.findall(code)]
    spilled = sum(4 for _, name, _ in lines if name.startswith("STL"))  # bytes a thread stores beside its registers
    return Code(int(re.search(r"REG:(\d+)", usage)[1]), spilled, result.metadata.shared, lines)  # type: ignore[index]


def ours(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Code, dict[str, float]]:
    n, m, channels, k, kept = shape
    tile, word = tile_for(n, m, channels, dtype, k), {torch.bfloat16: "*bf16", torch.float32: "*fp32"}[dtype]
    numbers = ["n", "m", "channels", "bias_image", "bias_target", "k", "step", "kept"]
    lengths = ["x_length_ptr", "y_length_ptr", "bias_ptr"]
    types = {"x_ptr": word, "y_ptr": word, **dict.fromkeys(lengths, "*fp32"), "found_ptr": "*i16"}
    pointers = list(types)
    width = 0 if n == m else triton.next_power_of_2(channels)
    sources = max(64, triton.next_power_of_2(m))
    constants = {
        "TARGETS": tile.targets,
        "SOURCES": sources,
        "CHANNELS": tile.channels,
        "SLOTS": max(16, triton.next_power_of_2(kept)),
        "ROWS": True,
        "COUNT": 4 if m % 4 == 0 else 1,
        "WIDTH": width,
        "X_LENGTHS": width == 0,
        "Y_LENGTHS": dtype != torch.float32,
        "PRECISION": "tf32",
        "SPLIT": dtype == torch.float32,
        "EXACT": False,
    }
    types |= dict.fromkeys(numbers, "i32")
    divisible = [*pointers, "channels"]
    code = compiled(search_row, types, constants, divisible, num_warps=tile.warps, num_stages=tile.stages)
    return code, _predicted_row(code, shape, dtype, sources)


def _predicted_row(code: Code, shape: tuple[int, ...], dtype: torch.dtype, sources: int) -> dict[str, float]:
    n, m, channels, k, _ = shape
    tile = tile_for(n, m, channels, dtype, k)
    steps = -(-channels // tile.channels)
    issued = 0.0
    loops = code.loops()
    for loop in loops:
        names = code.within(loop)
        if any("GMMA" in name for name in names):
            issued += len(names) * steps
        elif any(name.startswith("VIMNMX") and ".U32" in name for name in names):
            issued += len(names) * k
    inside = sum(len(code.within(loop)) for loop in loops)
    issued += len(code.instructions) - inside  # the selection by scores, which only outliers need, is counted in part
    products = 3 if dtype == torch.float32 else 1
    rate = HALF_RATE / (2 if dtype == torch.float32 else 1)
    flops = products * 2.0 * sources * steps * tile.channels * -(-n // tile.targets) * tile.targets * IMAGES
    size = 2 if products == 1 else 4
    moved = IMAGES * (size * (n + m) * channels + 2 * n * shape[4]) + 4 * n * m
    return prediction(code, -(-n // tile.targets) * IMAGES, tile.warps, issued, flops / rate, moved)


def many(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Code, dict[str, float]]:
    """The search among more sources than one tile holds, with terms of a grid as its bias."""
    n, m, channels, k, kept = shape
    tile, word = tile_for(n, m, channels, dtype, k), {torch.bfloat16: "*bf16", torch.float32: "*fp32"}[dtype]
    half = dtype == torch.bfloat16
    numbers = ["n", "m", "channels", "bias_image", "bias_target", "k", "step", "kept", "width"]
    types = {"x_ptr": word, "y_ptr": word, **dict.fromkeys(["x_length_ptr", "y_length_ptr", "bias_ptr"], "*fp32")}
    types |= {"found_ptr": "*i16"}
    divisible = [*types, "channels"]
    types |= dict.fromkeys(numbers, "i32")
    constants = {"TARGETS": tile.targets, "SOURCES": tile.sources, "CHANNELS": tile.channels}
    constants |= {"BEST": max(16, triton.next_power_of_2(k)), "SLOTS": max(16, triton.next_power_of_2(kept))}
    constants |= {
        "ROWS": 2 if n * m > TABLE_LIMIT else True,
        "COUNT": 4 if m % 4 == 0 else 1,
        "X_LENGTHS": half,
        "Y_LENGTHS": half,
    }
    precision = {"PRECISION": "tf32" if half else "tf32x3"}
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    code = compiled(search_tiles, types, constants | precision, divisible, **options)
    product, merge, last = (len(code.within(loop)) for loop in code.loops()[:3])
    tiles, steps = -(-m // tile.sources), -(-channels // tile.channels)
    rest = len(code.instructions) - product - merge - last
    issued = tiles * (product * steps + rest) + MERGES[tile.sources] * k * merge + k * last
    products = tiles * tile.sources * steps * tile.channels * -(-n // tile.targets) * tile.targets
    flops = (1 if half else 3) * 2.0 * products * LARGE_IMAGES
    moved = LARGE_IMAGES * ((2 if half else 4) * (n + m) * channels + 2 * n * kept)
    programs = -(-n // tile.targets) * LARGE_IMAGES
    return code, prediction(code, programs, tile.warps, issued, flops / HALF_RATE * (1 if half else 2), moved)


def norm(name: str, n: int, channels: int) -> tuple[Code, dict[str, float]]:
    """A kernel of batch norm over n nodes in bfloat16: normalizing with a residual in float32, or sums over parts."""
    if name == "apply, residual":
        pointers = {"h_ptr": "*bf16", "factors_ptr": "*fp32", "residual_ptr": "*fp32", "out_ptr": "*fp32"}
        numbers = ["groups", "groups_a_row", "channels"]
        constants: dict[str, Any] = {"GELU": False, "RESIDUAL": True, "GROUPS": norms._GROUPS}
        kernel, programs, moved = norms._apply, -(-n * channels // (8 * norms._GROUPS)), 10.0 * n * channels
    else:
        pointers, numbers = {"sums_ptr": "*fp32", "totals_ptr": "*fp32"}, ["channels", "parts"]
        parts = norms._parts(n)
        constants = {"PARTS": triton.next_power_of_2(parts), "COLUMNS": 16}
        kernel, programs, moved = norms._totals, -(-channels // 16), 8.0 * parts * channels
    types = pointers | dict.fromkeys(numbers, "i32")
    code = compiled(kernel, types, constants, [*pointers, "channels"], num_warps=4, num_stages=3)
    return code, prediction(code, programs, 4, float(len(code.instructions)), 0.0, moved)


def prediction(code: Code, programs: int, warps: int, issued: float, product: float, moved: float) -> dict[str, float]:
    """Milliseconds of issuing, of the product and of memory."""
    resident = min(REGISTERS // (code.registers * 32 * warps), SHARED // (code.shared + 1024))
    times = {
        "issue": programs * warps * issued / (4 * SMS * CLOCK),
        "product": product,
        "memory": moved / BANDWIDTH,
    }
    return {
        "instructions": issued,
        "warps on a multiprocessor": float(resident * warps),
        **{f"{name}, ms": 1e3 * value for name, value in times.items()},
        "predicted, ms": 1e3 * max(times.values()),
    }


def _row(shape: str, kernel: str, code: Code, found: dict[str, float]) -> dict[str, Any]:
    held = {"registers": code.registers, "spilled": code.spilled, "shared, KiB": code.shared / 1024}
    row = {"shape": shape, "kernel": kernel, **held, **found, "measured, ms": ""}
    print(row, flush=True)
    return row


def main() -> None:
    rows = []
    for place, (name, shape) in enumerate(SHAPES.items()):
        for kernel, make in (
            ("float32", lambda shape: ours(shape, torch.float32)),
            ("bfloat16", lambda shape: ours(shape, torch.bfloat16)),
        ):
            code, found = make(shape)
            held = {"registers": code.registers, "spilled": code.spilled, "shared, KiB": code.shared / 1024}
            was = (*MEASURED[kernel], *[None] * len(SHAPES))[place]
            rows.append({"shape": name, "kernel": kernel, **held, **found, "measured, ms": was or ""})
            print(rows[-1], flush=True)
    for name, shape in LARGE.items():
        for dtype in (torch.float32, torch.bfloat16):
            what = f"{name}, 800 x 1280", str(dtype).removeprefix("torch.")
            rows.append(_row(*what, *many(shape, dtype)))
    for stage, nodes, channels in ((1, 401408, 80), (3, 25088, 400)):
        for name in ("apply, residual", "totals"):
            rows.append(_row(f"pvig_small stage {stage}, training", f"norm, {name}", *norm(name, nodes, channels)))
    write("gpu_compiled", rows, triton=triton.__version__, target="sm_90", batch_size=IMAGES)


if __name__ == "__main__":
    main()
