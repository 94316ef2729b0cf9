"""Memory and time of training steps of a detector at COCO's size, extrapolated to a whole schedule.

    uv run python examples/benchmarks/coco_steps.py --steps 100 --images 2 --precision bf16-mixed   # a GPU
    uv run python examples/benchmarks/coco_steps.py --steps 3 --images 1                            # a CPU, minutes

The steps are those of `vig-pyg detect train --preset 1x`: forward pass, losses, backward pass, clipping and AdamW, with
the norms and the first stages of the backbone frozen as with published weights. The images are random, of 800 x 1333
pixels, with seven objects each, as many as COCO has on average. Reading images and evaluation are not included.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from harness import PeakMemory, environment, table, write

from vig_pyg.detection.builders import PRETRAINED
from vig_pyg.detection.config import DetectionConfig, make_config
from vig_pyg.detection.loading import make_detector
from vig_pyg.detection.presets import PRESETS
from vig_pyg.engine.optim import parameter_groups

#: Images of COCO's train2017, all of which a run uses, and its classes.
COCO_IMAGES, COCO_CLASSES = 118_287, 80
#: Objects of an image of COCO on average.
OBJECTS = 7


def batch(images: int, size: tuple[int, int], device: str) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """Random images and objects; the masks are the boxes."""
    height, width = size
    targets = []
    for _ in range(images):
        corner = torch.rand(OBJECTS, 2) * 0.6
        boxes = torch.cat([corner, corner + 0.05 + 0.3 * torch.rand(OBJECTS, 2)], 1)
        boxes = boxes * torch.tensor([width, height, width, height])
        masks = torch.zeros(OBJECTS, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y1 : y2 + 1, x1 : x2 + 1] = 1
        labels = torch.randint(1, COCO_CLASSES + 1, (OBJECTS,))
        targets.append({"boxes": boxes.to(device), "labels": labels.to(device), "masks": masks.to(device)})
    return [torch.rand(3, height, width, device=device) for _ in range(images)], targets


def training_step(config: DetectionConfig, *, images: int, size: tuple[int, int], device: str) -> Callable[[], None]:
    """A function that makes one step, as the engine does."""
    model = make_detector(config, COCO_CLASSES, pretrained=False).to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=config.lr, weight_decay=config.weight_decay), lr=config.lr)
    mixed = config.precision == "bf16-mixed"

    def step() -> None:
        inputs = batch(images, size, device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
            losses = model(*inputs)
        optimizer.zero_grad()
        torch.stack([loss.float() for loss in losses.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad or 1e9)
        optimizer.step()

    return step


def measure(step: Callable[[], None], *, steps: int, device: str) -> tuple[float, float, float]:
    """Median seconds of a step without the first, also those of the CPU's work, and the peak of the memory in GiB."""
    gpu, times, work = torch.device(device).type == "cuda", [], []
    memory = None if gpu else PeakMemory()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(steps + 1):
        start, busy = time.perf_counter(), time.process_time()
        step()
        if gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        work.append(time.process_time() - busy)
    peak = torch.cuda.max_memory_allocated() / 2**30 if memory is None else memory.read()
    return statistics.median(times[1:]), statistics.median(work[1:]), peak


def extrapolated(config: DetectionConfig, seconds: float, images: int, processes: int) -> dict[str, float]:
    """Steps of the schedule, and the days that they take."""
    steps = config.epochs * (COCO_IMAGES // config.batch_size)
    forwards = -(-config.batch_size // (images * processes))  # parts of a batch, whose gradients are added
    return {"steps": steps, "days": steps * forwards * seconds / 86_400}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detectors", nargs="+", default=["retinanet", "maskrcnn"])
    parser.add_argument("--model", default="small")
    parser.add_argument("--preset", default="1x", choices=PRESETS)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--images", type=int, default=2, help="images in one pass of one process (default: 2)")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 8], help="numbers of GPUs to extrapolate to")
    parser.add_argument("--write", metavar="NAME", help="also write the numbers to results/NAME_DATE.json")
    args = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for detector in args.detectors:
        given = {"train": "-", "val": "-", "detector": detector, "model": args.model, "precision": args.precision}
        # what published weights decide, without reading them
        frozen = {f"options.{name}": value for name, value in PRETRAINED.items()}
        size = {"options.min_size": min(args.size), "options.max_size": max(args.size)}
        config = make_config(("the command line", {**given, **frozen, **size}), preset=args.preset)
        torch.manual_seed(0)
        step = training_step(config, images=args.images, size=tuple(args.size), device=args.device)
        seconds, work, peak = measure(step, steps=args.steps, device=args.device)
        row = {"detector": detector, "model": args.model, "images": args.images, "seconds a step": seconds}
        row |= {"CPU seconds": work, "peak GiB": peak}  # on a busy machine, a step takes longer than the CPU's work
        for processes in args.processes:
            found = extrapolated(config, seconds, args.images, processes)
            row |= {"steps": found["steps"], f"days with {processes}": found["days"]}
        rows.append(row)
        print(row, flush=True)
    what = {"size": list(args.size), "precision": args.precision, "device": args.device, "preset": args.preset}
    if args.write:
        write(args.write, rows, steps=args.steps, **what)
    else:
        print(table(rows), what, environment(), sep="\n")


if __name__ == "__main__":
    main()
