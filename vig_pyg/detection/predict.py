"""Detections in pictures: drawn, and as COCO JSON."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from vig_pyg._files import write_file
from vig_pyg.detection.evaluate import MASK_THRESHOLD, to_results
from vig_pyg.detection.run_folder import DetectionRun
from vig_pyg.predict import Broken, BrokenPictureError, read_picture

#: Name of the COCO file beside the drawn pictures.
PREDICTIONS = "predictions.json"


@dataclass(frozen=True)
class Predictions:
    """What was found in pictures.

    Args:
        annotations: The entries of `predictions.json` under `annotations`.
        broken: Pictures that could not be read, with the reason.
    """

    annotations: list[dict[str, Any]]
    broken: list[Broken]


def predict(
    run: DetectionRun,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    threshold: float = 0.5,
    report: Callable[[int], object] | None = None,
) -> Predictions:
    """Find objects in pictures, draw them, and write them down.

    Args:
        run: The detector (see `load_detector`).
        paths: The pictures, of any sizes; those that cannot be read are left out and named in the result.
        out: A folder for one PNG for each picture, with boxes, outlines, names and scores, and `predictions.json`:
            COCO's format with `score`, the images numbered from 1 in the order given. It must not exist.
        threshold: Lowest score of an object that is drawn or written, from 0 to 1.
        report: Called with 1 when a picture is done, for a progress bar.

    Raises:
        FileExistsError: If `out` exists.
        FileNotFoundError: If a picture does not exist.
        ValueError: If none can be read, or `threshold` is out of range.
    """
    out, files = Path(out), [Path(path) for path in paths]
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, got {threshold}.")
    if out.exists():
        raise FileExistsError(f"{out} exists already and is not overwritten: choose another --out, or remove it.")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    broken: list[Broken] = []
    for path, name in zip(files, _names(files), strict=True):
        try:
            image = v2.functional.pil_to_tensor(read_picture(path).convert("RGB"))
        except BrokenPictureError as error:
            broken.append(Broken(path, str(error)))
        else:
            found = detect(run, image, threshold=threshold)
            images.append({"id": len(images) + 1, "file_name": str(path)})
            images[-1] |= {"height": image.size(1), "width": image.size(2)}
            annotations += to_results(len(images), found, run.category_ids)
            write_file(out / f"{name}.png", _as_png(draw(image, found, run.class_names)))
        if report is not None:
            report(1)
    if not images:
        raise ValueError(
            f"None of {len(broken)} pictures could be read; the first, {broken[0].path}: {broken[0].reason}."
        )
    for i, entry in enumerate(annotations):
        entry |= {"id": i + 1, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
    categories = [{"id": number, "name": name} for number, name in zip(run.category_ids, run.class_names, strict=True)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    write_file(out / PREDICTIONS, json.dumps(content) + "\n")
    return Predictions(annotations, broken)


def _as_png(image: Tensor) -> Callable[[BinaryIO], None]:
    return lambda file: v2.functional.to_pil_image(image).save(file, format="PNG")


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
