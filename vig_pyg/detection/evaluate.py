"""Evaluation of a trained detector by average precision."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from vig_pyg._io.progress import progress_bar
from vig_pyg.detection.coco_evaluator import CocoEvaluator
from vig_pyg.detection.data import collate, open_source
from vig_pyg.detection.dataset import ADVICE, DetectionSet
from vig_pyg.detection.flip import detect_with_flip
from vig_pyg.detection.load import ObjectDetector, find_device
from vig_pyg.detection.records import DetectionDataset
from vig_pyg.engine.faults import naming_all_faults
from vig_pyg.engine.read_batches import read_batches


def evaluate_detector(
    detector: ObjectDetector,
    source: str | Path | DetectionDataset,
    *,
    batch_size: int = 2,
    num_workers: int = 2,
    device: str | torch.device | None = None,
    score: float = 0.0,
    flip: bool = False,
    progress: bool = True,
) -> CocoEvaluator:
    """Compute the average precision of a detector on annotated images.

    Args:
        source: The annotated images, or their source (see `open_source`). Their classes are matched with those of the
            detector by name.
        device: Device on which to run; by default a CUDA GPU if there is one, otherwise the CPU.
        score: Lowest score of the detections that count, from 0 to 1. Average precision is defined without a limit,
            so a limit can only lower it.
        flip: If true, objects are also looked for in the mirror images (see `detect_with_flip`).

    Returns:
        The evaluator: `compute()` returns the average precision, and `results` contains the detections in COCO's
            format, in the order of the images.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If an option is out of range, an object has a class that the detector does not have, or an image
            cannot be used; the message names it.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"score must be from 0 to 1, got {score}.")
    if batch_size < 1 or num_workers < 0:
        raise ValueError(
            f"batch_size must be at least 1 and num_workers at least 0, got {batch_size} and {num_workers}."
        )
    if isinstance(source, DetectionDataset):
        annotated = source.with_classes(detector.class_names)
    else:
        annotated = open_source(source, classes=detector.class_names)
    dataset = DetectionSet(annotated, masks=detector.masks)
    # images of one size are evaluated together, so batches of one size are faster
    order = sorted(range(len(dataset)), key=lambda i: annotated.records[i].size)
    batches: Iterable[Any] = read_batches(dataset, batch_size, num_workers=num_workers, collate=collate, order=order)
    evaluator = CocoEvaluator(annotated, masks=detector.masks)
    where = find_device(device)
    model = detector.model.to(where).eval()
    faults = naming_all_faults(dataset.readable(), **ADVICE)
    with faults, torch.inference_mode(), progress_bar(len(order), shown=progress) as bar:
        for images, targets in batches:
            pixels = [image.to(where) for image in images]
            found = detect_with_flip(model, pixels) if flip else model(pixels)
            if score > 0:
                found = [{key: values[one["scores"] >= score] for key, values in one.items()} for one in found]
            evaluator.update([int(target["image_id"]) for target in targets], found)
            bar.update(len(images))
    places = {record.image_id: i for i, record in enumerate(annotated.records)}
    evaluator.results.sort(key=lambda result: places[result["image_id"]])
    return evaluator
