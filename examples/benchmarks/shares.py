"""What the time of our networks goes to: linear layers, search, aggregation, norms, the rest.

    uv run python examples/benchmarks/shares.py

Self times of torch's profiler, batch 8 at 224 px for inference (`fuse()`), batch 16 for a training step in float32.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from harness import write
from inference import settle
from torch.profiler import ProfilerActivity, profile

from vig_pyg import create_model

#: Parts of names of operators, the first that fits.
GROUPS = {
    "search": ("vig_pyg::knn", "torch_cluster"),
    "aggregation": ("vig_pyg::max_relative",),
    "norms, GELU": ("Recomputed", "batch_norm", "gelu"),
    "linear layers": ("mkldnn", "addmm", "aten::mm", "aten::bmm", "convolution"),
    "AdamW": ("Optimizer", "aten::lerp", "aten::addcdiv", "aten::addcmul", "aten::sqrt"),
}


def shares(run: Callable[[], object], repeats: int) -> dict[str, float]:
    """Milliseconds of one run in each group; what runs in other threads than this one is search."""
    run()
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        wall = (time.perf_counter() - start) * 1000 / repeats
    found: dict[str, float] = defaultdict(float)
    for event in trace.key_averages():
        group = next((g for g, parts in GROUPS.items() if any(part in event.key for part in parts)), "the rest")
        found[group] += event.self_cpu_time_total / 1000 / repeats
    if "search" not in found:  # torch_cluster's, in threads of ours
        found["search"] = wall - sum(found.values())
    return dict(found)


def inference(name: str, precision: str, repeats: int, **options: str) -> dict[str, float]:
    model = create_model(name, **options)
    images = torch.randn(8, 3, 224, 224)
    settle(model, images)
    fused = model.fuse()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        return shares(lambda: fused(images), repeats)


def training(name: str, repeats: int) -> dict[str, float]:
    model = create_model(name).train()
    images, labels = torch.randn(16, 3, 224, 224), torch.arange(16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return shares(step, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vig_tiny", "vig_small", "pvig_tiny", "pvig_small"])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for name in args.models:
        runs = {
            "inference, float32": lambda name=name: inference(name, "float32", args.repeats),
            "inference, bfloat16": lambda name=name: inference(name, "bfloat16", args.repeats),
            "torch_cluster, float32": lambda name=name: inference(
                name, "float32", args.repeats, knn_engine="torch_cluster"
            ),
            "training, float32": lambda name=name: training(name, args.repeats),
        }
        for what, run in runs.items():
            found = run()
            total = sum(found.values())
            row = {"model": name, "what": what, "ms": total}
            row |= {f"{group}, %": 100 * found.get(group, 0.0) / total for group in [*GROUPS, "the rest"]}
            rows.append(row)
            print("  ".join(f"{v:.1f}" if isinstance(v, float) else f"{v:>12}" for v in row.values()), flush=True)
    write("shares_cpu", rows, repeats=args.repeats)


if __name__ == "__main__":
    main()
