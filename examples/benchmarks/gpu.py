"""Our networks on a GPU: correctness, inference, training steps, each kernel beside its floor, and large images.

    uv run python examples/benchmarks/gpu.py
    uv run python examples/benchmarks/gpu.py --device cpu --models pvig_micro --batch-size 2 --no-compile --repeats 1

The second line only shows that the script works where there is no GPU. Times are medians of CUDA events, all networks
of a table in turn in one process; memory is what torch allocates at most. bfloat16 autocast, search in float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from floor import strip_graphs
from gpu_kernels import correct, kernel_rows
from harness import write
from reference import DenseReference
from torch import Tensor, nn

from vig_pyg import create_model, weights

MODELS = ["vig_tiny", "vig_small", "vig_base", "pvig_tiny", "pvig_small", "pvig_medium", "pvig_base"]
Run = Callable[[], Any]


@contextmanager
def without_triton() -> Iterator[None]:
    """Plain torch in place of the kernels: products and `torch.topk`, gathered maxima."""
    with (
        patch("vig_pyg.ops._knn.triton_kernels", lambda: None),
        patch("vig_pyg.ops._max_relative.triton_kernels", lambda: None),
    ):
        yield


def seconds(run: Run, device: torch.device) -> float:
    """Time of one run."""
    if device.type != "cuda":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    run()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


def measured(runs: dict[str, Run], repeats: int, device: torch.device) -> dict[str, dict[str, float]]:
    """Median seconds and peak GiB of each, every one once a round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    peak = {}
    for name, run in runs.items():
        for _ in range(3):  # compilation, tuning, graphs
            run()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        run()
        peak[name] = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run, device))
    return {name: {"s": statistics.median(value), "peak GiB": peak[name]} for name, value in times.items()}


def networks(name: str, args: argparse.Namespace, *, train: bool) -> dict[str, nn.Module]:
    """Every network of a table, with the same weights."""
    patch_size = 4 if name.startswith("pvig") else 16  # as published; that of the micro models is smaller
    options = {"drop_path_rate": 0.0, "image_size": args.image_size, "patch_size": patch_size}
    model = create_model(name, **options).to(args.device)
    state = model.state_dict()

    def again(**more: str) -> Any:
        other = create_model(name, **options, **more).to(args.device)
        other.load_state_dict(state)
        return other.train(train)

    reference = DenseReference(model.config).to(args.device).train(train)
    reference.load_state_dict(weights.convert(model, "official"))
    ready = (lambda m: m) if train else (lambda m: m.fuse())
    found = {
        "reference": reference,
        "ours": ready(again()),
        "ours, plain torch": ready(again()),
        "ours, torch_cluster": ready(again(knn_engine="torch_cluster")),
        "floor": ready(strip_graphs(again())),
    }
    if not args.no_compile:
        found["reference compiled"] = torch.compile(reference)
        found["ours compiled"] = torch.compile(ready(again()))
        found["floor compiled"] = torch.compile(ready(strip_graphs(again())))
    return found


def runs_of(nets: dict[str, nn.Module], images: Tensor, *, train: bool) -> dict[str, Run]:
    """One pass, or one training step, of each."""
    labels = torch.arange(len(images), device=images.device) % 10

    def inference(net: nn.Module) -> None:
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16):
            net(images)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16):
            loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()

    found: dict[str, Run] = {}
    for name, net in nets.items():
        if train:
            optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
            run = lambda net=net, optimizer=optimizer: step(net, optimizer)  # noqa: E731
        else:
            run = lambda net=net: inference(net)  # noqa: E731
        found[name] = plain(run) if name == "ours, plain torch" else run
    return found


def plain(run: Run) -> Run:
    """The same without our kernels."""

    def other() -> None:
        with without_triton():
            run()

    return other


def table_rows(name: str, args: argparse.Namespace, *, train: bool) -> list[dict[str, Any]]:
    """Rows of one model."""
    images = torch.randn(args.batch_size, 3, args.image_size, args.image_size, device=args.device)
    found = measured(runs_of(networks(name, args, train=train), images, train=train), args.repeats, args.device)
    return [
        {
            "what": "training step" if train else "inference",
            "model": name,
            "network": network,
            "images/s": args.batch_size / row["s"],
            "x reference": found["reference"]["s"] / row["s"],
            "of the floor": found["floor"]["s"] / row["s"],
            "peak GiB": row["peak GiB"],
        }
        for network, row in found.items()
    ]


def large(args: argparse.Namespace) -> list[dict[str, Any]]:
    """pvig_small at 800 x 1280, batch 4: our kernels beside plain torch."""
    model = create_model("pvig_small", position="grid").to(args.device).eval().fuse()
    nets = {"ours": model, "ours, plain torch": model}
    images = torch.randn(4, 3, 800, 1280, device=args.device)
    found = measured(runs_of(nets, images, train=False), args.repeats, args.device)
    return [{"what": "800 x 1280, batch 4", "network": name, **row} for name, row in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["correct", "kernels", "inference", "training", "large"])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--no-compile", action="store_true", help="eager networks only")
    args = parser.parse_args()
    if args.device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu shows that the script works")
    torch.manual_seed(0)
    device = torch.cuda.get_device_name() if args.device.type == "cuda" else "CPU"
    for part in args.parts:
        if part in ("inference", "training"):
            rows = [row for name in args.models for row in table_rows(name, args, train=part == "training")]
        else:
            rows = {"correct": correct, "kernels": kernel_rows, "large": large}[part](args)
        if args.device.type == "cuda":
            write(f"gpu_{part}", rows, device=device, batch_size=args.batch_size, image_size=args.image_size)
        else:
            print(*rows, sep="\n")


if __name__ == "__main__":
    main()
