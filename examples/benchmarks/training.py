"""Seconds and peak memory of a training step on a CPU: ours beside the dense reference and the floor.

    uv run python examples/benchmarks/training.py

Forward, backward and AdamW in float32, batch 16 at 224 px, interleaved in one process; peak memory of two steps in a
process of its own, over that of the process before the model is made.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from floor import strip_graphs
from harness import PeakMemory, interleaved, write
from reference import DenseReference
from torch import Tensor, nn

from vig_pyg import create_model


def make(name: str, network: str) -> nn.Module:
    """One of the networks, ready to train."""
    model = create_model(name)
    if network == "reference":
        return DenseReference(model.config).train()
    return (strip_graphs(model) if network == "floor" else model).train()


def stepper(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """A training step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.05)
    labels = torch.arange(len(images)) % 1000

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def peak(name: str, network: str, batch_size: int) -> float:
    """GiB that two steps need, measured in new processes: the median of three, as allocators have their moods."""
    command = [sys.executable, __file__, "--models", name, "--batch-size", str(batch_size), "--peak-of", network]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vig_tiny", "vig_small", "pvig_tiny", "pvig_small"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak-of", choices=["reference", "ours", "floor"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, 224, 224)
    if args.peak_of:
        memory = PeakMemory()
        step = stepper(make(args.models[0], args.peak_of), images)
        step()
        step()
        print(memory.read())
        return
    rows = []
    for name in args.models:
        networks = {network: make(name, network) for network in ("reference", "ours", "floor")}
        seconds = interleaved({key: stepper(net, images) for key, net in networks.items()}, repeats=args.repeats)
        memory = {key: peak(name, key, args.batch_size) for key in networks}
        for key, value in seconds.items():
            rows.append(
                {
                    "model": name,
                    "network": key,
                    "s / step": value,
                    "x reference": seconds["reference"] / value,
                    "of the floor": seconds["floor"] / value,
                    "peak GiB": memory[key],
                    "peak / reference": memory[key] / memory["reference"],
                }
            )
            print("  ".join(f"{v:.2f}" if isinstance(v, float) else f"{v:>10}" for v in rows[-1].values()), flush=True)
    write("training_cpu", rows, batch_size=args.batch_size, image_size=224, repeats=args.repeats)


if __name__ == "__main__":
    main()
