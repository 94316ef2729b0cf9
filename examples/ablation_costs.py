"""What each variant of an ablation costs: parameters, multiply-accumulates, images a second, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ablation import Variant, write
from benchmarks.harness import interleaved
from rich.progress import track
from torch import Tensor

from vig_pyg._io.text import error_text
from vig_pyg.macs import count_macs

#: Rounds of the speed measurement, each with one pass of every variant.
REPEATS = 7


def costs(
    variants: list[Variant], model: str, options: dict[str, Any], images: Tensor, path: Path, script: str | None
) -> dict[str, dict[str, Any]]:
    """The costs of each variant; those in the file are kept as long as the variants are the same.

    Args:
        variants: The rows of the table; they are timed side by side.
        model: Name of the model.
        options: Its options.
        images: A batch, for speed and memory.
        path: File of the costs.
        script: Script that can measure the memory of one variant (`--peak-of`); `None` leaves memory out.
    """
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
    complete = all("peak_mib" in row for row in known.values()) or script is None
    if set(known) == {variant.name for variant in variants} and complete:
        return known
    networks = {variant.name: variant.make(model, options).eval() for variant in variants}
    found: dict[str, dict[str, Any]] = {}
    for name, network in networks.items():
        macs = count_macs(network, tuple(images.shape[2:]))
        found[name] = {"parameters": sum(p.numel() for p in network.parameters()), "macs": macs}
    with torch.inference_mode():
        runs = {name: (lambda network=network: network(images)) for name, network in networks.items()}
        seconds = interleaved(runs, repeats=REPEATS)
    for name, value in seconds.items():
        found[name]["images_per_second"] = len(images) / value
    if script is not None:
        for variant in track(variants, "peak memory", transient=True):
            old = known.get(variant.name, {})
            shape = list(images.shape)
            try:
                measured = old.get("peak_mib") or peak_elsewhere(script, variant.name, model, options, shape)
            except ValueError as error:  # the table is worth more than this column
                print(error_text(error), file=sys.stderr)
                continue
            found[variant.name]["peak_mib"] = measured
    write(path, found)
    return found


def peak_elsewhere(script: str, name: str, model: str, options: dict[str, Any], shape: list[int]) -> float:
    """MiB that two training steps need, measured in a new process."""
    wanted = json.dumps({"name": name, "model": model, "options": options, "shape": shape})
    command = [sys.executable, script, "--peak-of", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"The memory of {name} could not be measured: {done.stderr.strip()[-500:]}")
    return float(done.stdout.split()[-1])


def peak(variants: Callable[[str], list[Variant]], wanted: dict[str, Any]) -> float:
    """MiB that two training steps add to this process."""
    variant = next(v for v in variants(wanted["model"]) if v.name == wanted["name"])
    torch.manual_seed(0)
    images = torch.randn(wanted["shape"])
    labels = torch.arange(len(images)) % wanted["options"]["num_classes"]
    before = resident()
    network = variant.make(wanted["model"], wanted["options"]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return resident() - before


def resident() -> float:
    """Largest resident set of this process so far, MiB; 0 where the system does not tell (it does on Linux)."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 2**10
