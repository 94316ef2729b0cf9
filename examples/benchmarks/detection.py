"""Peak memory and time of a detector at COCO's size.

    uv run python examples/benchmarks/detection.py

One image of 800 x 1333 pixels through `retinanet_pvig` and `maskrcnn_pvig`, float32, random weights, each in a process
of its own: peak resident memory over that of the process before the first image, and median seconds. `scores` is what
one matrix of all distances of the first stage would take; the search never writes it. Two images of different sizes
show what a ragged batch costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from harness import PeakMemory, write

from vig_pyg.detection import DETECTORS, RaggedImages

#: Images of each case, height and width.
CASES: dict[str, list[tuple[int, int]]] = {
    "one": [(800, 1333)],
    "two of a size": [(800, 1333)] * 2,
    "two sizes": [(800, 1333), (1333, 800)],
}


def measure(detector: str, variant: str, case: str, *, train: bool, repeats: int) -> dict[str, Any]:
    """One case, in this process."""
    torch.manual_seed(0)
    model = DETECTORS[detector](variant, num_classes=80)
    images = [torch.rand(3, *size) for size in CASES[case]]
    step = _training(model, images) if train else _inference(model, images)
    small = _training(model, [torch.rand(3, 64, 64)]) if train else _inference(model, [torch.rand(3, 64, 64)])
    model.transform.min_size, model.transform.max_size = [64], 64
    small()  # libraries loaded, threads started
    model.transform.min_size, model.transform.max_size = [800], 1333
    memory, times = PeakMemory(), []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    height, width = CASES[case][0]
    cells = -(-height // 4) * -(-width // 4)
    scores = cells * -(-cells // 16) * 4 / 2**30
    return {"peak GiB": memory.read(), "seconds": statistics.median(times[1:] or times), "scores GiB": scores}


def _inference(model: torch.nn.Module, images: list[torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            model.eval()(images)

    return run


def _training(model: torch.nn.Module, images: list[torch.Tensor]) -> Callable[[], None]:
    targets = [
        {
            "boxes": torch.tensor([[5.0, 5.0, i.size(2) - 5.0, i.size(1) - 5.0]]),
            "labels": torch.tensor([1]),
            "masks": torch.ones(1, *i.shape[1:], dtype=torch.uint8),
        }
        for i in images
    ]

    def run() -> None:
        model.zero_grad()
        sum(model.train()(images, targets).values()).backward()

    return run


def padding(variant: str, repeats: int) -> list[dict[str, Any]]:
    """The backbone on two sizes: ragged, and as a padded batch would be (which mixes padding into the graphs)."""
    model = DETECTORS["retinanet"](variant, num_classes=80, min_size=320, max_size=427).backbone.eval()
    images = [torch.rand(3, 320, 427), torch.rand(3, 427, 320)]
    batches = {"ragged": RaggedImages(images, model.divisor), "padded": torch.rand(2, 3, 448, 448)}
    rows = []
    with torch.inference_mode():
        for name, batch in batches.items():
            times = []
            for _ in range(repeats + 1):
                start = time.perf_counter()
                model(batch)
                times.append(time.perf_counter() - start)
            rows.append({"batch": name, "seconds": statistics.median(times[1:])})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        detector, case, mode = args.one
        print(json.dumps(measure(detector, args.model, case, train=mode == "train", repeats=args.repeats)))
        return
    rows = []
    todo = [("retinanet", case, "infer") for case in CASES] + [
        ("maskrcnn", "one", "infer"),
        ("retinanet", "one", "train"),
    ]
    for detector, case, mode in todo:
        repeats = 1 if mode == "train" else args.repeats
        command = [sys.executable, __file__, "--model", args.model, "--repeats", str(repeats)]
        done = subprocess.run([*command, "--one", detector, case, mode], capture_output=True, text=True, check=True)
        rows.append({"detector": detector, "images": case, "mode": mode, **json.loads(done.stdout.splitlines()[-1])})
        print(rows[-1], flush=True)
    ragged = padding(args.model, args.repeats)
    print(ragged)
    write("detection_cpu", rows, model=f"pvig_{args.model}", repeats=args.repeats, ragged=ragged)


if __name__ == "__main__":
    main()
