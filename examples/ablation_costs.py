"""What each variant of an ablation costs, with the peak memory of training, which needs a process for each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from vig_pyg._io.text import error_text
from vig_pyg.classification.ablation import Variant, costs_of
from vig_pyg.classification.ablation.ablate import Costs


def costs_with_memory(script: str | None) -> Costs:
    """A function that measures the costs of variants, with the peak memory; known costs are kept.

    Args:
        script: Script that can measure the memory of one variant (`--peak-of`); `None` leaves memory out.
    """

    def costs(
        variants: Sequence[Variant], model: str, options: dict[str, Any], images: Tensor, known: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        found = costs_of(variants, model, options, images, known)
        for variant in track(variants, "peak memory", transient=True) if script else ():
            old = known.get(variant.name, {})
            try:
                measured = old.get("peak_mib") or peak_elsewhere(
                    script, variant.name, model, options, list(images.shape)
                )
            except ValueError as error:  # the table is worth more than this column
                print(error_text(error), file=sys.stderr)
                continue
            found[variant.name]["peak_mib"] = measured
        return found

    return costs


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
