"""Images per second of `vig_pyg.engine.fit` beside a bare loop over the same network and data.

    uv run python examples/benchmarks/training_loop.py

Both train on the same batches, in turns and in one process: an epoch of the bare loop (forward, backward, AdamW,
learning rate), then an epoch of `fit` with all it does beside (random states, finite losses, history, progress,
checkpoints). The clock runs from the end of the first step to the end of the last, so that neither pays for its start.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from harness import write

from vig_pyg import create_model
from vig_pyg.classification import ClassificationConfig, ImageData, load_config, load_data, make_model
from vig_pyg.engine import fit
from vig_pyg.engine.optim import WarmRate, parameter_groups

#: Small steps show overhead best: digits take 0.1 s a step; the pyramid is the network of the preset `scratch`.
CASES: dict[str, dict[str, Any]] = {
    "digits, vig_micro": {},
    "digits at 64 px, pvig_micro": {"model": "pvig_micro", "image_size": 64, "options": {"patch_size": 4}},
}


class Clock(lightning.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.perf_counter())


def speed(times: list[float], batch_size: int) -> float:
    """Images per second."""
    return (len(times) - 1) * batch_size / (times[-1] - times[0])


def bare(case: ClassificationConfig, data: ImageData) -> float:
    """An epoch of the loop that everybody writes first."""
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_channels": 1, "image_size": case.image_size}
    model = create_model(case.model, **case.options, **options).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=case.lr, weight_decay=case.weight_decay), lr=case.lr)
    loader = data.train_dataloader()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, WarmRate(len(loader), 2))
    times = []
    for images, labels in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels, label_smoothing=case.label_smoothing).backward()
        optimizer.step()
        schedule.step()
        times.append(time.perf_counter())
    return speed(times, case.batch_size)


def ours(case: ClassificationConfig, data: ImageData) -> float:
    """An epoch of `fit`."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        fit(make_model(case.model, case.options, data, seed=0), data, case, Path(folder) / "run", callbacks=[clock])
    return speed(clock.times, case.batch_size)


def measure(case: ClassificationConfig, repeats: int) -> dict[str, float]:
    """Medians of both, in turns."""
    found: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(repeats + 1):
        for name, run in (("bare", bare), ("ours", ours)):
            images = run(case, load_data(case))
            if turn:
                found[name].append(images)
    ratios = [ours / bare for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {**medians, "ratio": statistics.median(ratios), "smallest": min(ratios), "largest": max(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="one repeat of the first case, nothing written")
    args = parser.parse_args()
    rows = []
    for name, changes in list(CASES.items())[: 1 if args.smoke else None]:
        case = load_config("digits", (name, {"epochs": 1, "accelerator": "cpu", **changes}))
        found = measure(case, 1 if args.smoke else args.repeats)
        rows.append(
            {
                "case": name,
                "bare, images/s": found["bare"],
                "fit, images/s": found["ours"],
                "fit / bare": found["ratio"],
                "smallest": found["smallest"],
                "largest": found["largest"],
            }
        )
        print(rows[-1], flush=True)
    if not args.smoke:
        write("training_loop_cpu", rows, repeats=args.repeats)


if __name__ == "__main__":
    main()
