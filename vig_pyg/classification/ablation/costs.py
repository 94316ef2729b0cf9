"""What each variant of an ablation costs: parameters, multiply-accumulates, and images per second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vig_pyg.macs import count_macs
from vig_pyg.models import VisionGNN

#: Rounds of the speed measurement, each with one pass of every variant.
REPEATS = 7


def measure_costs(networks: Mapping[str, VisionGNN[Any]], images: Tensor) -> dict[str, dict[str, Any]]:
    """Measure all variants side by side on a CPU.

    Returns:
        For each variant `parameters`, `macs` (of one image) and `images_per_second` (inference, float32).

    Example:
        >>> from vig_pyg import vig_micro
        >>> sorted(measure_costs({"knn": vig_micro(num_classes=2)}, torch.rand(2, 3, 32, 32))["knn"])
        ['images_per_second', 'macs', 'parameters']
    """
    found: dict[str, dict[str, Any]] = {}
    for name, network in networks.items():
        network.eval()
        macs = count_macs(network, (images.shape[2], images.shape[3]))
        found[name] = {"parameters": sum(p.numel() for p in network.parameters()), "macs": macs}

    def passing(network: VisionGNN[Any]) -> Callable[[], Tensor]:
        return lambda: network(images)

    with torch.inference_mode():
        seconds = _interleaved({name: passing(network) for name, network in networks.items()})
    for name, value in seconds.items():
        found[name]["images_per_second"] = len(images) / value
    return found


def _interleaved(runs: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median seconds of each; every candidate runs once per round, so a slow minute is slow for all."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(1 + REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
