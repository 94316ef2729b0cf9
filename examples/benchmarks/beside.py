"""Seconds of training and inference alone and beside another busy process.

    uv run python examples/benchmarks/beside.py

Threads wait as those of the command `vig-pyg` do, which looks at its start whether other programs need the cores
(`vig_pyg/_waiting.py`): one worker is measured while nothing else runs, another beside the busy process. They take
turns; whoever has to wait is stopped by a signal. A fair scheduler gives two of our threads two thirds of two cores
beside one other thread, and one half beside two.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from vig_pyg._waiting import CONTESTED, FREE

LOOP = "while True: pass"
PRODUCTS = """
import torch
torch.set_num_threads({threads})
x = torch.rand(1024, 1024)
while True:
    x @ x
"""
OTHERS = {
    "a loop in Python": LOOP,
    "products of torch, 1 thread": PRODUCTS.format(threads=1),
    "products of torch, 2 threads": PRODUCTS.format(threads=2),
}
TASKS = ("training, vig_tiny", "inference, pvig_tiny", "training, vig_micro at 16 px")


def make_task(name: str, batch_size: int) -> Callable[[], Any]:
    """A training step or a batch of inference."""
    import torch
    from training import make, stepper

    from vig_pyg import create_model
    from vig_pyg.fuse import fuse

    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, 224, 224)
    if name == TASKS[0]:
        return stepper(make("vig_tiny", "ours"), images)
    if name == TASKS[2]:
        return stepper(make("vig_micro", "ours"), torch.randn(4 * batch_size, 3, 16, 16))
    fused = fuse(create_model("pvig_tiny").eval())

    def infer() -> None:
        with torch.inference_mode():
            fused(images)

    return infer


def work(name: str, batch_size: int, least: float) -> None:
    """Print the median seconds of calls that take `least` seconds together, whenever a line is read."""
    run = make_task(name, batch_size)
    run()
    for _ in sys.stdin:
        times: list[float] = []
        while sum(times) < least or len(times) < 3:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        print(statistics.median(times), flush=True)


class Worker:
    """A process that works when it is asked, with threads that wait as long as `spin` says."""

    def __init__(self, name: str, spin: str, arguments: list[str]) -> None:
        command = [sys.executable, __file__, "--work", name, *arguments]
        environment = {**os.environ, "GOMP_SPINCOUNT": spin}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def seconds(self) -> float:
        """The median seconds of a call."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def measure(name: str, other: str, arguments: list[str], rounds: int) -> dict[str, Any]:
    """A row of the table."""
    free, contested = (Worker(name, spin, arguments) for spin in (FREE, CONTESTED))
    busy = subprocess.Popen([sys.executable, "-c", OTHERS[other]])
    alone, beside = [], []
    try:
        time.sleep(5)  # the other process loads torch
        for _ in range(rounds):
            busy.send_signal(signal.SIGSTOP)
            alone.append(free.seconds())
            busy.send_signal(signal.SIGCONT)
            beside.append(contested.seconds())
    finally:
        for process in (busy, free.process, contested.process):
            process.kill()
            process.wait()
    share = statistics.median(first / second for first, second in zip(alone, beside, strict=True))
    seconds = {"s alone": statistics.median(alone), "s beside": statistics.median(beside)}
    return {"task": name, "beside": other, **seconds, "share": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least", type=float, default=3.0, help="seconds of each part of a round")
    parser.add_argument("--work", choices=TASKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.batch_size, args.least)
        return
    from harness import write

    arguments = ["--batch-size", str(args.batch_size), "--least", str(args.least)]
    rows = []
    for name in TASKS:
        for other in OTHERS:
            rows.append(measure(name, other, arguments, args.rounds))
            print("  ".join(f"{v:.3f}" if isinstance(v, float) else f"{v:30}" for v in rows[-1].values()), flush=True)
    write("beside_cpu", rows, batch_size=args.batch_size, image_size=224, rounds=args.rounds)


if __name__ == "__main__":
    main()
