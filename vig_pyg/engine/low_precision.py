"""Whether a CPU or a GPU trains slower in bfloat16 than in float32."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from vig_pyg.layers import FFN

_log = logging.getLogger(__name__)

#: Channels of the layer and its nodes: a layer of ViG-Ti for eight images of 224 pixels.
_CHANNELS, _NODES = 192, 1568
#: Time relative to float32 above which the user is told.
_SLOW = 1.1


def time_in_bfloat16(*, repeats: int = 5) -> float:
    """Return the time of training steps in bfloat16 on this CPU, divided by the time in float32.

    The steps of both precisions alternate, so that another busy process slows both down. Random numbers of the caller
    are not used.

    Args:
        repeats: Number of measured steps; the median counts.

    Example:
        >>> time_in_bfloat16(repeats=1) > 0
        True
    """
    with torch.random.fork_rng(devices=[]):
        layer = FFN(_CHANNELS, 4 * _CHANNELS)
        nodes = torch.rand(_NODES, _CHANNELS, requires_grad=True)
    batch = torch.zeros(_NODES, dtype=torch.long)

    def step(low: bool) -> None:
        with torch.enable_grad():
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                out = layer(nodes, batch, 1)
            out.sum().backward()

    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(1 + repeats):
        for low, values in times.items():
            values.append(_seconds(partial(step, low)))
    return statistics.median(times[True][1:]) / statistics.median(times[False][1:])  # the first ones warm up


def warn_of_slow_bfloat16(precision: str, device: torch.device) -> None:
    """Log a warning if a run uses bfloat16 where another precision is faster.

    On a CPU, this is measured with a few steps of one layer. GPUs compute bfloat16 from compute capability 8.0 on; on
    older ones, such as a T4, torch emulates it.
    """
    if not precision.startswith("bf16"):
        return
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) < (8, 0):
            _log.warning(
                "%s does not support bfloat16, which torch emulates there: use --precision 16-mixed.",
                torch.cuda.get_device_name(device),
            )
        return
    if precision != "bf16-mixed" or device.type != "cpu":
        return
    ratio = time_in_bfloat16()
    if ratio > _SLOW:
        _log.warning(
            "On this CPU, training in bfloat16 takes %.1f times as long as in float32 (measured with one layer): "
            "use --precision 32-true.",
            ratio,
        )


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
