"""Detection of objects in image files, saved as COCO JSON and as drawings."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from vig_pyg._fonts import picture_names
from vig_pyg._io.cores import num_cores
from vig_pyg._io.faults import none_readable
from vig_pyg._io.output import check_new_folder, new_folder, write_file
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import error_text
from vig_pyg._requirements import require
from vig_pyg.classification import UnreadableImage
from vig_pyg.classification.batches import ReadableImages
from vig_pyg.detection.coco_evaluator import to_results
from vig_pyg.detection.draw import draw
from vig_pyg.detection.load import ObjectDetector, detect_batch, find_device
from vig_pyg.detection.masks import OutlineError, read_outline
from vig_pyg.detection.pixels import as_pixels, read_pixels

#: Name of the COCO file next to the drawings.
PREDICTIONS = "predictions.json"
#: Longest name of a drawing in bytes, without its extension; file systems allow 255.
_LONGEST = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """The detections in several images.

    Args:
        broken: Images that could not be read, with the reason.
        undrawn: Images whose results were written but could not be drawn, with the reason.
    """

    annotations: list[dict[str, Any]]
    images: list[dict[str, Any]]
    broken: list[UnreadableImage]
    undrawn: list[UnreadableImage] = field(default_factory=list)


def predict(
    detector: ObjectDetector,
    paths: Sequence[str | Path],
    out: str | Path | None,
    *,
    threshold: float = 0.5,
    batch_size: int = 1,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    flip: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Predictions:
    """Find objects in images, write the results, and draw them.

    `predictions.json` is complete before the first image is drawn. An error or Ctrl-C before this leaves no files;
    later it leaves the results and the finished drawings.

    Args:
        detector: The detector (see `load_detector`).
        paths: The image files, of any sizes; unreadable files are skipped and listed in the result.
        out: The output folder, which must not exist; with `None`, nothing is written. It gets `predictions.json`, in
            COCO's format with `score` and with image IDs from 1 in the given order, and one PNG per image with boxes,
            outlines, names and scores.
        threshold: Lowest score of the objects that are drawn and written, from 0 to 1.
        batch_size: Number of images that are processed together; it changes only the speed and the memory.
        num_workers: Number of processes that read images, at most one for each core; 0 means this process.
        device: Device on which to run; by default a CUDA GPU if there is one, otherwise the CPU.
        flip: If true, objects are also looked for in the mirror images (see `detect_with_flip`).
        progress: Function that is called with 1 after each image, for a progress bar.

    Raises:
        FileExistsError: If `out` exists.
        FileNotFoundError: If an image does not exist.
        OSError: If a file cannot be written; the message lists the files that exist.
        ValueError: If no image can be read, or an option is out of range.

    Example:
        >>> from vig_pyg.detection import retinanet_pvig
        >>> model = retinanet_pvig("micro", num_classes=1, min_size=64, max_size=96, out_channels=16).eval()
        >>> detector = ObjectDetector(name="mine", model=model, class_names=["cat"], category_ids=[1])
        >>> predict(detector, [], None)
        Traceback (most recent call last):
        ValueError: Expected at least one image, got none.
    """
    folder, files = None if out is None else Path(out), [Path(path) for path in paths]
    if batch_size < 1 or num_workers < 0:
        raise ValueError(
            f"batch_size must be at least 1 and num_workers at least 0, got {batch_size} and {num_workers}."
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, got {threshold}.")
    if not files:
        raise ValueError("Expected at least one image, got none.")
    gone = [path for path in files if not os.path.lexists(path)]  # a broken link is listed among the unreadable images
    if gone:
        raise FileNotFoundError(f"There is no image at {gone[0]}.{did_you_mean(gone[0])}")
    if detector.masks:
        require("Predicting outlines", ["pycocotools"], "detection")
    if folder is not None:
        check_new_folder(folder)
    workers = min(num_workers, num_cores(), -(-len(files) // batch_size))
    read = DataLoader(ReadableImages(files, as_pixels), batch_size, num_workers=workers, collate_fn=list)
    search = partial(detect_batch, detector, threshold=threshold, device=find_device(device), flip=flip)
    detector.model.to(find_device(device))
    content, broken = _search(detector, files, read, search, progress or (lambda _: None))
    if folder is None:
        return Predictions(content["annotations"], content["images"], broken)
    written = False
    # The folder is not created earlier, because a signal that ends the process would leave it behind.
    with new_folder(folder, keep=lambda: written):
        write_file(folder / PREDICTIONS, json.dumps(content) + "\n")
        written = True
        undrawn = _draw_all(folder, content)
    return Predictions(content["annotations"], content["images"], broken, undrawn)


def _search(
    detector: ObjectDetector,
    files: Sequence[Path],
    batches: Iterable[list[tuple[int, Tensor | str]]],
    search: Callable[[list[Tensor]], list[dict[str, Tensor]]],
    progress: Callable[[int], object],
) -> tuple[dict[str, list[dict[str, Any]]], list[UnreadableImage]]:
    """Return the content of `predictions.json`, and the images that could not be read."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    broken: list[UnreadableImage] = []
    for batch in batches:
        broken += [UnreadableImage(files[i], reason) for i, reason in batch if isinstance(reason, str)]
        good = [(files[i], pixels) for i, pixels in batch if isinstance(pixels, Tensor)]
        results = search([pixels for _, pixels in good]) if good else []
        for (path, pixels), found in zip(good, results, strict=True):
            images.append({"id": len(images) + 1, "file_name": str(path)})
            images[-1] |= {"height": pixels.size(1), "width": pixels.size(2)}
            annotations += to_results(len(images), found, detector.category_ids)
        for _ in batch:
            progress(1)
    if not images:
        raise ValueError(none_readable([f"{one.path}: {one.reason}" for one in broken]))
    for i, entry in enumerate(annotations):
        entry |= {"id": i + 1, "iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3]}
    categories = [
        {"id": number, "name": name} for number, name in zip(detector.category_ids, detector.class_names, strict=True)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}, broken


def _draw_all(out: Path, content: dict[str, list[dict[str, Any]]]) -> list[UnreadableImage]:
    """Draw each image, and return the images that cannot be drawn, with the reason."""
    class_names = picture_names([entry["name"] for entry in content["categories"]])  # warns once, not for each image
    labels = {entry["id"]: i + 1 for i, entry in enumerate(content["categories"])}
    of_image: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in content["images"]}
    for entry in content["annotations"]:
        of_image[entry["image_id"]].append(entry)
    undrawn: list[UnreadableImage] = []
    paths = [Path(entry["file_name"]) for entry in content["images"]]
    for i, (entry, path, name) in enumerate(zip(content["images"], paths, file_names(paths), strict=True)):
        try:
            size = entry["height"], entry["width"]
            found = _found(of_image[entry["id"]], labels, size)
            drawing = v2.functional.to_pil_image(draw(read_pixels(path), found, class_names, enlarged=True))
        # For example, because a file has changed; the results have been written already.
        except Exception as error:
            _log.warning("%s could not be drawn: %s", path, error_text(error))
            undrawn.append(UnreadableImage(path, error_text(error)))
            continue
        try:
            write_file(out / f"{name}.png", partial(drawing.save, format="PNG"))
        except OSError as error:
            count = f"{i - len(undrawn)} of {len(content['images'])} drawings"
            raise OSError(f"{error} {out} has {PREDICTIONS}, which is complete, and {count}.") from error
    return undrawn


def _found(entries: list[dict[str, Any]], labels: dict[int, int], size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the entries of `predictions.json` for the detections of an image."""
    boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float32).view(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    found = {"boxes": boxes, "scores": torch.tensor([entry["score"] for entry in entries])}
    found["labels"] = torch.tensor([labels[entry["category_id"]] for entry in entries], dtype=torch.long)
    if entries and "segmentation" in entries[0]:
        found["masks"] = torch.stack([_mask(entry["segmentation"], size) for entry in entries]).unsqueeze(1).float()
    return found


def _mask(segmentation: dict[str, Any], size: tuple[int, int]) -> Tensor:
    try:
        return torch.from_numpy(read_outline(segmentation, size).mask())
    except OutlineError:  # no pixel reaches the probability
        return torch.zeros(size, dtype=torch.uint8)


def file_names(files: Sequence[Path]) -> list[str]:
    """Return a file name without extension for each image; images with the same name in several folders get a number.

    Example:
        >>> file_names([Path("a/x.jpg"), Path("b/x.png"), Path("y.jpg")])
        ['x', 'x-2', 'y']
    """
    names: dict[str, None] = {}
    for path in files:
        stem = path.stem
        while len(os.fsencode(stem)) > _LONGEST:
            stem = stem[:-1]
        name, i = stem, 1
        while name in names:
            i += 1
            name = f"{stem}-{i}"
        names[name] = None
    return list(names)
