"""Detections in pictures: drawn, and as COCO JSON."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from vig_pyg._files import write_file
from vig_pyg.detection.data import read_picture
from vig_pyg.detection.evaluate import MASK_THRESHOLD, to_results
from vig_pyg.detection.run_folder import DetectionRun

#: Name of the COCO file beside the drawn pictures.
PREDICTIONS = "predictions.json"


def predict(
    run: DetectionRun, paths: Sequence[str | Path], out: str | Path, *, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Find objects in pictures, draw them, and write them down.

    Args:
        run: The detector (see `load_detector`).
        paths: The pictures, of any sizes.
        out: A folder for one PNG for each picture, with boxes, outlines, names and scores, and `predictions.json`:
            COCO's format with `score`, the images numbered from 1 in the order given. It must not exist.
        threshold: Lowest score of an object that is drawn or written, from 0 to 1.

    Returns:
        The entries of `predictions.json` under `annotations`.

    Raises:
        FileExistsError: If `out` exists.
        FileNotFoundError: If a picture does not exist.
        ValueError: If one cannot be read, with its name, or `threshold` is out of range.
    """
    out, files = Path(out), [Path(path) for path in paths]
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, got {threshold}.")
    if out.exists():
        raise FileExistsError(f"{out} exists already and is not overwritten: choose another --out, or remove it.")
    pictures = [read_picture(path) for path in files]
    out.mkdir(parents=True)
    annotations: list[dict[str, Any]] = []
    for i, (image, name) in enumerate(zip(pictures, _names(files), strict=True)):
        found = detect(run, image, threshold=threshold)
        annotations += to_results(i + 1, found, run.category_ids)
        drawing = v2.functional.to_pil_image(draw(image, found, run.class_names))
        drawing.save(out / f"{name}.png")
    for i, entry in enumerate(annotations):
        entry |= {"id": i + 1, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
    content = {
        "images": [
            {"id": i + 1, "file_name": str(path), "height": image.size(1), "width": image.size(2)}
            for i, (path, image) in enumerate(zip(files, pictures, strict=True))
        ],
        "categories": [
            {"id": number, "name": name} for number, name in zip(run.category_ids, run.class_names, strict=True)
        ],
        "annotations": annotations,
    }
    write_file(out / PREDICTIONS, json.dumps(content) + "\n")
    return annotations


@torch.inference_mode()
def detect(run: DetectionRun, image: Tensor, *, threshold: float = 0.5) -> dict[str, Tensor]:
    """Objects in one picture of bytes `(3, H, W)`, best first.

    Returns:
        `boxes (n, 4)`, `labels (n,)` from 1, `scores (n,)` and, from Mask R-CNN, `masks (n, 1, H, W)`.
    """
    (found,) = run.model([image / 255])
    kept = (found["scores"] >= threshold) & (found["labels"] > 0)
    return {name: values[kept] for name, values in found.items()}


def draw(image: Tensor, found: dict[str, Tensor], class_names: list[str]) -> Tensor:
    """A picture of bytes `(3, H, W)` with boxes, outlines, names and scores, a colour for each class."""
    if not len(found["boxes"]):
        return image
    labels = found["labels"].tolist()
    colours = [_colour(label, len(class_names)) for label in labels]
    if "masks" in found:
        image = draw_segmentation_masks(image, found["masks"][:, 0] >= MASK_THRESHOLD, alpha=0.5, colors=colours)
    titles = [f"{class_names[label - 1]} {score:.2f}" for label, score in zip(labels, found["scores"], strict=True)]
    width = max(1, round(min(image.shape[1:]) / 240))
    return draw_bounding_boxes(image, found["boxes"], titles, colours, width=width)


def _colour(label: int, count: int) -> tuple[int, int, int]:
    """Colours around the circle of hues."""
    red, green, blue = colorsys.hsv_to_rgb((label - 1) / count, 0.9, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _names(files: list[Path]) -> list[str]:
    """A name for each drawing; pictures of the same name in different folders get a number."""
    names: list[str] = []
    for path in files:
        name, i = path.stem, 1
        while name in names:
            i += 1
            name = f"{path.stem}-{i}"
        names.append(name)
    return names
