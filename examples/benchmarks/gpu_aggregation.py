"""Max-Relative on a GPU: whether its kernels are right, and which sizes of their tiles are fastest.

    uv run python examples/benchmarks/gpu_aggregation.py
    TRITON_INTERPRET=1 uv run python examples/benchmarks/gpu_aggregation.py --device cpu --tiny

The second line only shows that the script works where there is no GPU. Times are of replayed CUDA graphs, so that
launches do not count; `eager` rows are what a caller waits for. Every row is written to the result file at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
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
from vig_pyg.ops._triton_tiles import BEST, Tuning

#: Targets, sources, channels and neighbors (looked at, kept) of one image in the layers of pvig_small and vig_small.
SHAPES = {
    "stage 1": (3136, 196, 80, 9, 9),
    "stage 2": (784, 196, 160, 9, 9),
    "stage 3": (196, 196, 400, 18, 9),
    "stage 4": (49, 49, 640, 27, 9),
    "vig_small": (196, 196, 320, 54, 18),
}
TINY = {"tiny": (20, 6, 16, 4, 2)}
FORWARD = [Tuning(b, w, p, 16, u) for b, w, p, u in itertools.product((16, 32), (4, 8), (1, 4, 16), (4, 8))]
FORWARD += [Tuning(span=8), Tuning(span=32), Tuning(span=64)]
BACKWARD = [Tuning(b, w, p) for b, w, p in itertools.product((4, 8, 16), (4, 8), (1, 4))]
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


def candidates(shape: tuple[int, ...], images: int, device: str) -> Iterator[tuple[str, str, int, Callable[[], Any]]]:
    """Kernel, candidate, bytes that must move, and the run."""
    n, m, channels, _, kept = shape
    x, y, neighbors = inputs(shape, images, device, torch.bfloat16)
    edges, (out, winners) = as_edges(neighbors, m), gather_neighbors(y, x, neighbors, winners=True)
    grad = torch.randn_like(out)
    features = 2 * channels * images * (m + 3 * n)
    numbers = images * n * kept
    for tuning in FORWARD:
        for keep in (False, True):
            moved = features + 2 * numbers + keep * images * n * channels
            yield (
                "forward, winners" if keep else "forward",
                str(tuple(tuning)),
                moved,
                lambda tuning=tuning, keep=keep: gather_neighbors(y, x, neighbors, winners=keep, tuning=tuning),
            )
    for name, tuning in (("best", BEST), ("32 bytes", Tuning(bytes=32))):
        moved = features + 10 * numbers
        yield "forward, edges", name, moved, lambda tuning=tuning: gather_max(y, x, edges, winners=False, tuning=tuning)
    moved = 2 * channels * images * 3 * n + images * n * channels + 4 * channels * images * m
    for tuning in BACKWARD:
        run = lambda tuning=tuning: scatter_winners(grad, winners, len(y), images, tuning=tuning)  # noqa: E731
        yield "backward", str(tuple(tuning)[:3]), moved, run
    yield "backward in order", "", moved, lambda: scatter_winners(grad, winners, len(y), images, in_order=True)


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
    for name, layer in (("knn and max_relative", with_edges), ("knn_max_relative", without)):
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        runs: dict[str, Callable[[], Any]] = {
            "eager pass": torch.no_grad()(lambda layer=layer: layer(x, y)),
            "eager step": lambda layer=layer, a=a, b=b: torch.autograd.grad(layer(a, b), (a, b), weight),
        }
        for what, run in runs.items():
            run()
            if device == "cpu":
                yield {"what": what, "candidate": name}
                continue
            took = elapsed(lambda run=run: [run() for _ in range(10)], repeats) / 10
            yield {"what": what, "candidate": name, "us": took * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="one tiny shape, to show that the script works")
    default = Path(os.environ.get("OUT", ".")) / "gpu_aggregation.jsonl"
    parser.add_argument("--out", type=Path, default=default, help="partial results, a row a line")
    args = parser.parse_args()
    images, best, summary = 2 if args.tiny else args.batch_size, {}, []
    with args.out.open("w") as file, torch.no_grad():

        def keep(row: Row) -> None:
            print(json.dumps(row), file=file, flush=True)

        for name, shape in (TINY if args.tiny else SHAPES).items():
            for row in correct(shape, min(images, 4), args.device):
                keep({"shape": name} | row)
                summary.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
            for kernel, candidate, moved, run in candidates(shape, images, args.device):
                took = replayed(run, args.device, args.repeats)
                keep(
                    {
                        "shape": name,
                        "what": kernel,
                        "candidate": candidate,
                        "us": took * 1e6,
                        "GB/s": moved / took / 1e9,
                    }
                )
                best.setdefault((name, kernel), []).append((took * 1e6, candidate, moved / took / 1e9))
            with torch.enable_grad():
                for row in eager(shape, images, args.device, args.repeats):
                    keep({"shape": name} | row)
                    summary.append(f"{name}: {row['what']}, {row['candidate']} {row.get('us', 0):.0f} us")
    print(*summary, sep="\n")
    for (name, kernel), rows in best.items():
        rows.sort()
        told = "; ".join(f"{us:.1f} us {rate:.0f} GB/s {candidate}" for us, candidate, rate in [*rows[:3], rows[-1]])
        print(f"{name}, {kernel}: {told}")


if __name__ == "__main__":
    main()
