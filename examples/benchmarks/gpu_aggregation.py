"""Max-Relative on a GPU: whether its kernels are right, and which sizes of their tiles are fastest.

    uv run python examples/benchmarks/gpu_aggregation.py
    TRITON_INTERPRET=1 uv run python examples/benchmarks/gpu_aggregation.py --device cpu --tiny

The second line only shows that the script works where there is no GPU. Times are of replayed CUDA graphs, so that
launches do not count; `eager` rows are what a caller waits for. Every row is written to the result file at once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vig_pyg.ops import knn, knn_max_relative, max_relative
from vig_pyg.ops._triton_max_relative import gather_max, gather_neighbors
from vig_pyg.ops._triton_scatter_winners import scatter_winners
from vig_pyg.ops._triton_tiles import BACKWARD, FORWARD, Tuning

#: Targets, sources, channels and neighbors (looked at, kept) of one image in the layers of pvig_small and vig_small.
SHAPES = {
    "stage 1": (3136, 196, 80, 9, 9),
    "stage 2": (784, 196, 160, 9, 9),
    "stage 3": (196, 196, 400, 18, 9),
    "stage 4": (49, 49, 640, 27, 9),
    "vig_small": (196, 196, 320, 54, 18),
}
TINY = {"tiny": (20, 6, 16, 4, 2)}
#: Kernels and their candidates, those that matter most first; each is tried on all shapes before the next is compiled.
DEFAULT = [
    ("forward", FORWARD),
    ("winners", FORWARD),
    ("backward", BACKWARD),
    ("edges", FORWARD),
    ("in order", BACKWARD),
]
CANDIDATES = DEFAULT + [("backward", BACKWARD._replace(span=s)) for s in (16, 32, 128)]
CANDIDATES += [(kernel, FORWARD._replace(bytes=64, unroll=u)) for kernel in ("winners", "forward") for u in (2, 4)]
CANDIDATES += [(kernel, FORWARD._replace(unroll=2)) for kernel in ("winners", "forward")]
CANDIDATES += [(kernel, FORWARD._replace(bytes=16)) for kernel in ("winners", "forward")]
CANDIDATES += [("backward", BACKWARD._replace(bytes=8)), ("backward", BACKWARD._replace(warps=8))]
CANDIDATES += [(kernel, FORWARD._replace(warps=w)) for kernel in ("winners", "forward") for w in (2, 8)]
CANDIDATES += [(kernel, FORWARD._replace(span=s)) for kernel in ("winners", "forward") for s in (8, 32)]
CANDIDATES += [(kernel, FORWARD._replace(passes=1)) for kernel in ("winners", "forward")]
CANDIDATES += [("backward", BACKWARD._replace(passes=1))]
CANDIDATES = list(dict.fromkeys(CANDIDATES))
Row = dict[str, Any]


def inputs(shape: tuple[int, ...], images: int, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Targets and sources `(B n, C)`, and neighbors `(B, n, kept)`, near ones for near targets as in an image."""
    n, m, channels, _, kept = shape
    generator = torch.Generator(device).manual_seed(0)
    x, y = (torch.randn(images * c, channels, device=device, generator=generator).to(dtype) for c in (n, m))
    middle = (torch.arange(n, device=device) * m // n).view(1, n, 1)
    off = torch.randint(-m // 4, m // 4 + 1, (images, n, kept), device=device, generator=generator)
    return x, y, (middle + off).remainder(m).to(torch.int16)


def as_edges(neighbors: Tensor, m: int) -> Tensor:
    """The same as edges over the batch."""
    b, n, kept = neighbors.shape
    image = torch.arange(b, device=neighbors.device).view(-1, 1, 1)
    target = torch.arange(b * n, device=neighbors.device).repeat_interleave(kept)
    return torch.stack([(neighbors.long() + image * m).flatten(), target])


def correct(shape: tuple[int, ...], images: int, device: str) -> Iterator[Row]:
    """Both kernels beside torch in every type, on outputs that hold NaN before; gradients beside float64."""
    m = shape[1]
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        x, y, neighbors = inputs(shape, images, device, dtype)
        edges = as_edges(neighbors, m)
        torch.use_deterministic_algorithms(True)  # torch.empty then gives NaN and the largest integers
        out, winners = gather_neighbors(y, x, neighbors, winners=True)
        other, numbers = gather_max(y, x, edges, winners=True)
        torch.use_deterministic_algorithms(False)
        largest, place = y[edges[0]].view(len(x), -1, x.size(1)).max(1)
        want = torch.stack([x, largest - x], 2).flatten(1)
        first = edges[0].view(len(x), -1).gather(1, place)
        image = torch.arange(images, device=device).repeat_interleave(shape[0]).view(-1, 1) * m
        grad = torch.randn_like(out)
        sums = torch.zeros(len(y), x.size(1), dtype=torch.float64, device=device)
        sums.scatter_add_(0, first, grad[:, 1::2].double())
        ways = {
            way: scatter_winners(grad, winners, len(y), images, in_order=way == "in order") for way in ("", "in order")
        }
        errors = {way: float((got[0].double() - sums).abs().max() / sums.abs().max()) for way, got in ways.items()}
        again = scatter_winners(grad, winners, len(y), images, in_order=True)[0]
        yield {
            "what": "correct",
            "dtype": str(dtype).removeprefix("torch."),
            "neighbors": torch.equal(out, want),
            "edges": torch.equal(other, want),
            "winners": torch.equal(winners.long() + image, first) and torch.equal(numbers.long(), first),
            "gradient error": errors[""],
            "gradient error in order": errors["in order"],
            "in order twice": torch.equal(again, ways["in order"][0]),
            "to targets": torch.equal(ways[""][1], (grad[:, ::2].float() - grad[:, 1::2].float()).to(dtype)),
        }


class Layer:
    """Inputs of one shape, in bfloat16, the bytes that each kernel must move, and the kernels."""

    def __init__(self, shape: tuple[int, ...], images: int, device: str) -> None:
        n, m, channels, _, kept = shape
        self.images = images
        self.x, self.y, self.neighbors = inputs(shape, images, device, torch.bfloat16)
        self.edges = as_edges(self.neighbors, m)
        out, self.winners = gather_neighbors(self.y, self.x, self.neighbors, winners=True)
        self.grad = torch.randn_like(out)
        features, numbers, one = 2 * channels * images * (m + 3 * n), images * n * kept, images * n * channels
        self.bytes = {
            "forward": features + 2 * numbers,
            "winners": features + 2 * numbers + one,
            "edges": features + 10 * numbers,
            "backward": 7 * one + 4 * channels * images * m,
            "in order": 7 * one + 2 * channels * images * m,
        }

    def run(self, kernel: str, tuning: Tuning) -> Any:
        """One run of a kernel."""
        if kernel == "edges":
            return gather_max(self.y, self.x, self.edges, winners=False, tuning=tuning)
        if kernel in ("forward", "winners"):
            return gather_neighbors(self.y, self.x, self.neighbors, winners=kernel == "winners", tuning=tuning)
        in_order = kernel == "in order"
        return scatter_winners(self.grad, self.winners, len(self.y), self.images, in_order=in_order, tuning=tuning)


def replayed(run: Callable[[], Any], device: str, repeats: int, inner: int = 10) -> float:
    """Median seconds of one run in a CUDA graph of many."""
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(inner):
            run()
    return elapsed(graph.replay, repeats) / inner


def elapsed(run: Callable[[], Any], repeats: int) -> float:
    """Median seconds between two events around one run."""
    times = []
    for _ in range(repeats + 1):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        run()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) / 1000)
    return statistics.median(times[1:])


def eager(shape: tuple[int, ...], images: int, device: str, repeats: int) -> Iterator[Row]:
    """What a caller waits for: the layer with its edges and without, a pass and a training step."""
    n, m, channels, k, kept = shape
    x, y, _ = inputs(shape, images, device, torch.bfloat16)
    x, y = x.view(images, n, channels), y.view(images, m, channels)
    step = k // kept

    def with_edges(a: Tensor, b: Tensor) -> Tensor:
        edges = knn(a.detach(), b.detach(), k, step=step, normalize=True)
        return max_relative(b.flatten(0, 1), a.flatten(0, 1), edges, by_target=True)

    def without(a: Tensor, b: Tensor) -> Tensor:
        return knn_max_relative(a, b, k, step=step, normalize=True)

    weight = torch.randn(images * n, 2 * channels, device=device, dtype=x.dtype)
    for name, layer in (("edges", with_edges), ("none", without)):
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        runs: dict[str, Callable[[], Any]] = {
            "eager pass": torch.no_grad()(lambda layer=layer: layer(x, y)),
            "eager step": lambda layer=layer, a=a, b=b: torch.autograd.grad(layer(a, b), (a, b), weight),
        }
        for what, run in runs.items():
            run()
            took = 0.0 if device == "cpu" else elapsed(lambda run=run: [run() for _ in range(10)], repeats) / 10
            yield {"what": f"{what}, {name}", "us": took * 1e6}


def stop(*_: Any) -> None:
    raise TimeoutError("the time is over")


def measured(shapes: dict[str, tuple[int, ...]], images: int, args: argparse.Namespace) -> Iterator[Row]:
    """All rows, what matters most first."""
    start = time.perf_counter()
    for name, shape in shapes.items():
        with torch.no_grad():
            yield from ({"shape": name} | row for row in correct(shape, min(images, 4), args.device))
    layers = {name: Layer(shape, images, args.device) for name, shape in shapes.items()}
    for number, (kernel, tuning) in enumerate(CANDIDATES):
        if time.perf_counter() - start > args.seconds:
            return
        for name, layer in layers.items():
            took = replayed(lambda: layer.run(kernel, tuning), args.device, args.repeats)  # noqa: B023
            rate = layer.bytes[kernel] / took / 1e9
            yield {"shape": name, "what": kernel, "candidate": told(tuning), "us": took * 1e6, "GB/s": rate}
        if number == len(DEFAULT) - 1:
            for name, shape in shapes.items():
                yield from ({"shape": name} | row for row in eager(shape, images, args.device, args.repeats))


def told(tuning: Tuning) -> str:
    """A candidate in few letters."""
    return f"b{tuning.bytes}w{tuning.warps}p{tuning.passes}s{tuning.span}u{tuning.unroll}"


def summary(rows: list[Row]) -> Iterator[str]:
    """Few lines: what is wrong, what is fastest, and what a caller waits for."""
    checks = [row for row in rows if row["what"] == "correct"]
    wrong = [f"{r['shape']} {r['dtype']} {key}" for r in checks for key, value in r.items() if value is False]
    errors = {r["dtype"]: max(q["gradient error"] for q in checks if q["dtype"] == r["dtype"]) for r in checks}
    yield f"correct: {len(checks)} checks, wrong: {wrong or 'none'}, gradient errors {errors}"
    for shape in dict.fromkeys(row["shape"] for row in rows):
        parts = []
        for kernel in ("forward", "winners", "edges", "backward", "in order"):
            found = sorted((r["us"], r) for r in rows if r["shape"] == shape and r["what"] == kernel)
            if found:
                best, usual = found[0][1], told(dict(DEFAULT)[kernel])
                default = next(r["us"] for _, r in found if r["candidate"] == usual)
                parts.append(
                    f"{kernel} {default:.1f}/{best['us']:.1f} us ({best['GB/s']:.0f} GB/s, {best['candidate']})"
                )
        yield f"{shape}: " + "; ".join(parts)
        waits = [f"{r['what']} {r['us']:.0f}" for r in rows if r["shape"] == shape and r["what"].startswith("eager")]
        yield f"{shape}, us: " + "; ".join(waits)
    for kernel in ("forward", "winners", "backward"):
        of: dict[str, list[float]] = {}
        for row in rows:
            if row["what"] == kernel:
                of.setdefault(row["candidate"], []).append(row["us"])
        most = max(map(len, of.values()), default=0)
        ranked = sorted((sum(times), name) for name, times in of.items() if len(times) == most)
        yield f"{kernel}, sum over shapes: " + ", ".join(f"{name} {us:.0f}" for us, name in ranked[:8])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=55.0, help="no candidate is begun after so long")
    parser.add_argument("--tiny", action="store_true", help="one tiny shape, to show that the script works")
    default = Path(os.environ.get("OUT", ".")) / "gpu_aggregation.jsonl"
    parser.add_argument("--out", type=Path, default=default, help="partial results, a row a line")
    args = parser.parse_args()
    rows: list[Row] = []
    signal.signal(signal.SIGTERM, stop)
    images, shapes = (2, TINY) if args.tiny else (args.batch_size, SHAPES)
    with args.out.open("w") as file:

        def keep(row: Row) -> None:
            rows.append(row)
            print(json.dumps(row), file=file, flush=True)

        try:
            for row in measured(shapes, images, args):
                keep(row)
        except Exception as error:  # the time is over, or a candidate fails: what has been measured is told
            print(f"stopped: {str(error)[:300] or type(error).__name__}")
    print(*summary(rows), sep="\n")


if __name__ == "__main__":
    main()
