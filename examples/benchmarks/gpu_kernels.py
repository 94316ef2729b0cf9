"""The search on a GPU by itself: right, at every precision, and how long each variant and each size of tile takes.

    uv run python examples/benchmarks/gpu_kernels.py
    uv run python examples/benchmarks/gpu_kernels.py --device cpu --batch-size 1 --repeats 1 --shapes small

Times are medians of CUDA graphs in milliseconds, every variant once a round: what the GPU needs, not the host. The
second line shows that the script works where there is no GPU (it needs `TRITON_INTERPRET=1`). Rows are printed as they
are measured, the table last.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from gpu_search import SHAPES, features
from gpu_timing import seconds
from torch import Tensor
from torch.nn.functional import normalize

from vig_pyg.ops import PRECISIONS, knn
from vig_pyg.ops._knn_plain import knn_plain
from vig_pyg.ops._triton_knn import Tile, neighbors
from vig_pyg.ops._triton_lengths import lengths

#: Sizes of tiles that compile without spilling: targets, channels and stages of the product, warps.
TILES = [Tile(64, 16, 4, 4), Tile(64, 32, 3, 4), Tile(64, 64, 2, 4)]
SMALL = {"small": (20, 12, 16, 4, 2)}
Run = Callable[[], Any]


def correct(shape: tuple[int, ...], args: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Shares of neighbors that equal those of float64, after the memory of the result was poisoned."""
    n, m, _, k, kept = shape
    for dtype, precision in [(torch.bfloat16, "highest"), *((torch.float32, name) for name in PRECISIONS)]:
        x, y = features(shape, min(8, args.batch_size), args.device, dtype)
        for name, bias in (("bias", torch.randn(1, n, m, device=args.device)), ("no bias", None)):
            options = {"step": k // kept, "bias": bias, "normalize": True}
            poison = [torch.full((2, len(x) * n * kept), -1, device=args.device) for _ in range(4)]
            del poison
            edges = neighbors(x, y, k, precision=precision, edges=True, **options)
            wanted = knn(x.double(), y.double(), k, **options)
            assert torch.equal(edges[1], wanted[1]), "other targets"
            same = float((edges[0] == wanted[0]).double().mean())
            yield f"{str(dtype).removeprefix('torch.')}, {precision}, {name}", same


def variants(shape: tuple[int, ...], args: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """What is compared at one shape."""
    n, m, _, k, kept = shape
    step = k // kept
    x, y = features(shape, args.batch_size, args.device, torch.bfloat16)
    if n == m:
        x = y  # nothing is pooled
    wide, wide_y = x.float(), y.float()
    unit, unit_y = normalize(wide, dim=-1), normalize(wide_y, dim=-1)
    bias = torch.randn(1, n, m, device=args.device)
    options = {"step": step, "bias": bias, "normalize": True}

    def topk(a: Tensor, b: Tensor) -> Tensor:
        return torch.baddbmm(bias.to(a.dtype), a, b.transpose(1, 2)).topk(k, dim=-1).indices[..., ::step]

    yield "baddbmm + topk, float32", partial(topk, unit, unit_y)
    yield "baddbmm + topk, bfloat16", partial(topk, unit.bfloat16(), unit_y.bfloat16())
    yield "ours, edges", partial(knn, x, y, k, **options)
    yield "ours, sources", partial(neighbors, x, y, k, **options)
    yield "ours, no bias", partial(neighbors, x, y, k, step=step, bias=None, normalize=True)
    one = {"bias": bias, "step": step, "normalize": True}
    yield "one image, edges", partial(knn, x[:1], x[:1] if n == m else y[:1], k, **one)
    yield "one image, plain torch", partial(knn_plain, x[:1], y[:1], k, step, bias, True)
    yield "one image, baddbmm + topk", partial(topk, unit[:1], unit_y[:1])
    yield "of it: lengths", partial(lengths, y)
    yield "lengths of targets too", partial(lengths, x, y)
    yield "k = 1: product, bias", partial(neighbors, x, y, 1, step=1, bias=bias, normalize=True)
    for tile in TILES:
        yield f"tile {tuple(tile)}", partial(neighbors, x, y, k, tile=tile, **options)
    for precision in PRECISIONS:
        yield f"float32, {precision}", partial(neighbors, wide, wide_y, k, precision=precision, **options)


def measured(runs: dict[str, Run], args: argparse.Namespace) -> dict[str, float | str]:
    """Median milliseconds of each variant, or why it did not run."""
    inner = 10 if args.device.type == "cuda" else 1
    times: dict[str, list[float]] = {}
    found: dict[str, float | str] = {}
    for name, run in runs.items():
        try:
            run()
            runs[name] = replayed(run, inner) if args.device.type == "cuda" else run
            times[name] = []
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error)[:60]}"
    for _ in range(args.repeats):
        for name, values in times.items():
            values.append(seconds(runs[name], args.device) / inner)
    return found | {name: 1000 * statistics.median(values) for name, values in times.items()}


def replayed(run: Run, inner: int) -> Run:
    """Many runs in a CUDA graph, which the host cannot hold up."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(inner):
            run()
    return graph.replay


def warm(shapes: dict[str, tuple[int, ...]], args: argparse.Namespace) -> None:
    """Compiles all kernels in several threads: the compiler does not hold Python's lock."""
    small = argparse.Namespace(**vars(args) | {"batch_size": 2})
    jobs = [run for shape in shapes.values() for run in dict(variants(shape, small)).values()]
    with ThreadPoolExecutor(min(14, os.cpu_count() or 1)) as pool:
        list(pool.map(_quietly, jobs))
    torch.cuda.synchronize()


def _quietly(run: Run) -> None:
    with contextlib.suppress(Exception):  # the measurement tells
        run()


def timed(shape: tuple[int, ...], args: argparse.Namespace) -> dict[str, float | str]:
    return measured(dict(variants(shape, args)), args)


def shared(shape: tuple[int, ...], args: argparse.Namespace) -> dict[str, float]:
    return dict(correct(shape, args))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=[*SHAPES, *SMALL])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="begin no further shape after this")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    args = parser.parse_args()
    torch.manual_seed(0)
    start, columns, shares = time.perf_counter(), {}, {}
    shapes = {name: (SHAPES | SMALL)[name] for name in args.shapes}
    if args.device.type == "cuda":
        warm(shapes, args)
    parts = ("ms", columns, partial(timed, args=args)), ("equal", shares, partial(shared, args=args))
    for title, found, make in parts:
        for name, shape in shapes.items():
            if time.perf_counter() - start < args.seconds:
                found[name] = make(shape)
                print(f"{time.perf_counter() - start:.0f} s", title, name, found[name], flush=True)
    for row in next(iter(shares.values()), ()):
        print("equal neighbors".ljust(26), row, *(f"{share[row]:.5f}" for share in shares.values()))
    print("ms".ljust(26), *(f"{name[-8:]:>9}" for name in columns))
    for row in next(iter(columns.values())):
        cells = (column.get(row, "") for column in columns.values())
        print(row.ljust(26), *(f"{cell:9.3f}" if isinstance(cell, float) else cell[:9] for cell in cells))


if __name__ == "__main__":
    main()
