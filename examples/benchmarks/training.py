"""Seconds and peak memory of a training step on a CPU: ours beside the dense reference, the floor, and Swin-T.

    uv run python examples/benchmarks/training.py

Forward, backward and AdamW in float32 and under autocast in bfloat16, batch 16 at 224 px, interleaved in one process;
peak memory of two steps in processes of their own (the median of three), over that before the model is made.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from floor import strip_graphs
from harness import PeakMemory, interleaved, write
from reference import DenseReference
from torch import Tensor, nn

from vig_pyg import create_model

#: The model of timm that is nearest to a network in multiply-accumulates.
PEERS = {"pvig_small": "swin_tiny_patch4_window7_224"}


def make(name: str, network: str) -> nn.Module:
    """One of the networks, ready to train."""
    if network == PEERS.get(name):
        import timm

        peer: nn.Module = timm.create_model(network).train()
        return peer
    model = create_model(name)
    if network == "reference":
        return DenseReference(model.config).train()
    return (strip_graphs(model) if network == "floor" else model).train()


def stepper(network: nn.Module, images: Tensor, precision: str = "float32") -> Callable[[], None]:
    """A training step."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.05)
    labels = torch.arange(len(images)) % 1000

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def peak(name: str, network: str, precision: str, batch_size: int) -> float:
    """GiB that two steps need, measured in new processes: the median of three, as allocators have their moods."""
    options = ["--models", name, "--precisions", precision, "--batch-size", str(batch_size), "--peak-of", network]
    command = [sys.executable, __file__, *options]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    return statistics.median(float(run.communicate()[0].split()[-1]) for run in runs)


def rows_of(name: str, precisions: list[str], images: Tensor, repeats: int) -> list[dict[str, Any]]:
    """The rows of a model: each network in each precision."""
    networks = ("reference", "ours", "floor", *([PEERS[name]] if name in PEERS else []))
    keys = list(product(precisions, networks))
    steps = {" ".join(key): stepper(make(name, key[1]), images, key[0]) for key in keys}
    seconds = interleaved(steps, repeats=repeats)
    memory = {key: peak(name, key[1], key[0], len(images)) for key in keys}
    rows = []
    for precision, network in keys:
        value, reference = seconds[f"{precision} {network}"], seconds[f"{precision} reference"]
        rows.append(
            {
                "model": name,
                "precision": precision,
                "network": network,
                "s / step": value,
                "x reference": reference / value,
                "x reference in float32": seconds.get("float32 reference", reference) / value,
                "of the floor": seconds[f"{precision} floor"] / value,
                "peak GiB": memory[precision, network],
                "peak / reference": memory[precision, network] / memory[precision, "reference"],
            }
        )
        print("  ".join(f"{v:.2f}" if isinstance(v, float) else f"{v:>10}" for v in rows[-1].values()), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vig_tiny", "vig_small", "pvig_tiny", "pvig_small"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, 224, 224)
    if args.peak_of:
        memory = PeakMemory()
        step = stepper(make(args.models[0], args.peak_of), images, args.precisions[0])
        step()
        step()
        print(memory.read())
        return
    rows: list[dict[str, Any]] = []
    for name in args.models:  # written after each, so that an hour is not lost to the last one
        rows += rows_of(name, args.precisions, images, args.repeats)
        write("training_cpu", rows, batch_size=args.batch_size, image_size=224, repeats=args.repeats)


if __name__ == "__main__":
    main()
