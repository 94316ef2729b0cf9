"""Times and memory on a GPU: medians of CUDA events, every network of a table once a round, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import nn

Run = Callable[[], Any]


def seconds(run: Run, device: torch.device) -> float:
    """Time of one run, from the first launch until the GPU has finished."""
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


def state_bytes(net: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Bytes of parameters, buffers, gradients and the optimizer's state."""
    tensors = list(chain(net.parameters(), net.buffers()))
    tensors += [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    if optimizer is not None:
        tensors += [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if not tensor.is_cpu)


def peak_gib(run: Run, own: Callable[[], int], device: torch.device) -> float:
    """GiB that torch allocates at most during a run for this network alone: others of the table are not counted.

    Args:
        run: Runs it, once warm.
        own: Its `state_bytes`, which are there before the run.
        device: Where it runs; on a CPU the result is 0.
    """
    if device.type != "cuda":
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated() - own()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def summary(times: list[float]) -> dict[str, float]:
    """Median milliseconds, and how far the times lie apart as a share of it."""
    median = statistics.median(times)
    return {"ms": 1000 * median, "spread": (max(times) - min(times)) / median}
