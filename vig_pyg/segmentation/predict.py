"""Segmentation of image files, saved as masks, as drawings, and as run lengths in COCO's format."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vig_pyg._fonts import picture_names
from vig_pyg._io.faults import none_readable, reason_of
from vig_pyg._io.output import check_new_folder, new_folder, write_file
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import error_text
from vig_pyg._requirements import require
from vig_pyg.classification import UnreadableImage
from vig_pyg.detection.load import find_device
from vig_pyg.detection.masks import encode_mask
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.detection.predict import file_names
from vig_pyg.image_io import UnreadableImageError
from vig_pyg.segmentation.draw import draw_labels, to_palette_image
from vig_pyg.segmentation.infer import Inference
from vig_pyg.segmentation.load import SemanticSegmenter, segment
from vig_pyg.segmentation.masks import MAX_CLASSES

#: Folders and file of the results.
MASKS, DRAWINGS, PREDICTIONS = "masks", "drawings", "predictions.json"
WHOLE = Inference()
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentedImages:
    """The result of a prediction.

    Args:
        broken: Images that could not be read, with the reason.
        undrawn: Images whose mask was written but could not be drawn, with the reason.
    """

    count: int
    broken: list[UnreadableImage]
    undrawn: list[UnreadableImage]


def predict(
    segmenter: SemanticSegmenter,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    how: Inference = WHOLE,
    rle: bool = False,
    device: str | torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> SegmentedImages:
    """Segment images, write their masks, and draw them.

    Args:
        segmenter: The network (see `load_segmenter`).
        paths: The image files, of any sizes; unreadable files are skipped and listed in the result.
        out: The output folder, which must not exist. `masks/` contains PNG files of one byte per pixel with a palette,
            which can be used as masks for training. `drawings/` contains the images with the colors of the classes and
            a legend. The other files are `classes.txt` and, with `rle`, `predictions.json`.
        how: Options for applying the network: whole images, sliding windows, flips.
        rle: If true, `predictions.json` has one entry per image and class, in COCO's format with run lengths. Image IDs
            count from 1 in the given order, and category IDs are labels.
        device: Device on which to run; by default a CUDA GPU if there is one, otherwise the CPU.
        progress: Function that is called with 1 after each image, for a progress bar.

    Raises:
        FileExistsError: If `out` exists.
        FileNotFoundError: If an image does not exist.
        OSError: If a file cannot be written; the folder is then removed.
        ValueError: If no image can be read, or the network has more than 255 classes.

    Example:
        >>> from vig_pyg.segmentation import SegmentationPreprocessing, semantic_fpn_pvig
        >>> model, plain = semantic_fpn_pvig("micro", num_classes=1, out_channels=16), SegmentationPreprocessing()
        >>> segmenter = SemanticSegmenter(name="mine", model=model, class_names=["sky"], preprocessing=plain)
        >>> predict(segmenter, [], "found")
        Traceback (most recent call last):
        ValueError: Expected at least one image, got none.
    """
    out, files = Path(out), [Path(path) for path in paths]
    _check(segmenter, files, rle)
    check_new_folder(out)
    segmenter.model.to(find_device(device)).eval()
    broken: list[UnreadableImage] = []
    undrawn: list[UnreadableImage] = []
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    drawn_names = picture_names(segmenter.class_names)  # warns once, not for each image
    with new_folder(out):
        for path, name in zip(files, file_names(files), strict=True):
            try:
                pixels = read_pixels(path)
            except (UnreadableImageError, FileNotFoundError) as error:
                broken.append(UnreadableImage(path, reason_of(error)))
            else:
                labels = segment(segmenter, pixels, how)["labels"]
                write_file(
                    out / MASKS / f"{name}.png",
                    partial(to_palette_image(labels, segmenter.class_names).save, format="PNG"),
                )
                if why := _draw(out / DRAWINGS / f"{name}.png", pixels, labels, drawn_names):
                    undrawn.append(UnreadableImage(path, why))
                images.append({"id": len(images) + 1, "file_name": str(path)})
                images[-1] |= {"height": labels.size(0), "width": labels.size(1)}
                entries += _run_lengths(labels.numpy(), len(images)) if rle else []
            if progress is not None:
                progress(1)
        if not images:
            raise ValueError(none_readable([f"{one.path}: {one.reason}" for one in broken]))
        write_file(out / "classes.txt", "".join(f"{' '.join(name.split())}\n" for name in segmenter.class_names))
        if rle:
            categories = [{"id": i, "name": name} for i, name in enumerate(segmenter.class_names)]
            numbered = [{"id": i + 1, **entry} for i, entry in enumerate(entries)]
            content = {"images": images, "categories": categories, "annotations": numbered}
            write_file(out / PREDICTIONS, json.dumps(content) + "\n")
    return SegmentedImages(len(images), broken, undrawn)


def _check(segmenter: SemanticSegmenter, files: list[Path], rle: bool) -> None:
    if not files:
        raise ValueError("Expected at least one image, got none.")
    gone = [path for path in files if not os.path.lexists(path)]  # a broken link is listed among the unreadable images
    if gone:
        raise FileNotFoundError(f"There is no image at {gone[0]}.{did_you_mean(gone[0])}")
    if len(segmenter.class_names) > MAX_CLASSES:
        raise ValueError(
            f"Masks of one byte hold {MAX_CLASSES} classes, but the network has {len(segmenter.class_names)}."
        )
    if rle:
        require("Writing run lengths", ["pycocotools"], "detection")


def _draw(path: Path, pixels: torch.Tensor, labels: torch.Tensor, class_names: list[str]) -> str | None:
    """Write the drawing of an image, and return the reason if it cannot be drawn."""
    try:
        drawing = draw_labels(pixels, labels, class_names, enlarged=True)
    except Exception as error:  # for example, because memory is short; the mask has been written already
        _log.warning("%s could not be drawn: %s", path.name, error_text(error))
        return error_text(error)
    write_file(path, partial(drawing.save, format="PNG"))
    return None


def _run_lengths(labels: np.ndarray, image_id: int) -> list[dict[str, Any]]:
    """Return the regions of an image in COCO's format, one per class."""
    found: list[dict[str, Any]] = []
    for label in np.unique(labels):
        mask = labels == label
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top = int(columns[0]), int(rows[0])
        box = [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
        entry = {"image_id": image_id, "category_id": int(label), "segmentation": encode_mask(mask), "bbox": box}
        found.append({**entry, "area": int(mask.sum()), "iscrowd": 0})
    return found
