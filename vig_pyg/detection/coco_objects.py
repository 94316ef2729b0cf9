"""Reading of the objects in COCO's format."""

from __future__ import annotations

import logging
import math
import reprlib
from pathlib import Path
from typing import Any

from vig_pyg._io.numbers import are
from vig_pyg.detection._values import as_flag, as_number, as_whole
from vig_pyg.detection.masks import OutlineError, read_outline
from vig_pyg.detection.records import Annotation, OnBad, clip_box, report
from vig_pyg.detection.turns import Size

Box = tuple[float, float, float, float]
_log = logging.getLogger(__name__)


def read_things(
    annotations: list[dict[str, Any]],
    images: dict[int, tuple[str, Size]],
    categories: list[int],
    path: Path,
    on_bad: OnBad,
) -> dict[int, list[Annotation]]:
    """Read the objects of each image.

    Args:
        annotations: The entries of the file. `image_id` and `category_id` are whole numbers, or text that contains one.
        categories: Category IDs, starting with that of label 1.
        on_bad: How to handle boxes without area, and unusable outlines from which a missing box should be computed.

    Raises:
        ValueError: If an entry refers to an image or category that is not in the file, or has no box (the message names
            its ID); or if the boxes are not in pixels.

    Example:
        >>> entry = {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4]}
        >>> read_things([entry], {7: ("a.jpg", (30, 40))}, [18], Path("a.json"), "stop")[7][0].box
        (1.0, 2.0, 4.0, 6.0)
    """
    beyond: list[str] = []
    farthest = 0.0
    labels = {number: i + 1 for i, number in enumerate(categories)}
    things: dict[int, list[Annotation]] = {image_id: [] for image_id in images}
    for i, entry in enumerate(annotations):
        what = called(entry, i)
        image_id, category = as_whole(entry["image_id"]), as_whole(entry["category_id"])
        if image_id not in images:
            raise ValueError(f"{path}: {what} belongs to image {image_id}, which is not in the file.")
        name, size = images[image_id]
        where = f"{path}: {name}, {what}"
        if category not in labels:
            raise ValueError(f"{where} has category {category}, which is not in the file.")
        try:
            crowd = as_flag(entry.get("iscrowd"))
        except ValueError as error:
            raise ValueError(f"{where}: iscrowd: {error}.") from None
        given = _box(entry, size, where, on_bad)
        box = None if given is None else clip_box(given, size, where, on_bad)
        if given is not None and box is not None:
            farthest = max(farthest, given[2], given[3])
            if given[2] > 1.1 * size[1] + 1 or given[3] > 1.1 * size[0] + 1:
                beyond.append(where)
            area = _area(entry, box, where)
            things[image_id].append(
                Annotation(box, labels[category], crowd, entry.get("segmentation") or None, area, what)
            )
    if 0 < farthest <= 1:
        raise ValueError(
            f"{path}: all boxes lie within the first pixel, so they seem to be fractions of the image size: expected "
            "x, y, width, height in pixels."
        )
    if beyond:
        _log.warning(
            "%s: %d of %d boxes %s far beyond the image and %s clipped; the first is that of %s. A box must "
            "be x, y, width, height, not two corners.",
            path, len(beyond), len(annotations), "extends" if len(beyond) == 1 else "extend", are(len(beyond)),
            beyond[0].removeprefix(f"{path}: "),
        )  # fmt: skip
    return things


def called(entry: dict[str, Any], i: int) -> str:
    """Return the name of an annotation for messages: its `id`, or its index in the file.

    Example:
        >>> called({"id": 12}, 0), called({}, 3)
        ('annotation 12', 'annotations[3]')
    """
    number = entry.get("id")
    return f"annotations[{i}]" if number is None else f"annotation {str(number)[:40]}"


def _box(entry: dict[str, Any], size: Size, where: str, on_bad: OnBad) -> Box | None:
    """Return the box (x1, y1, x2, y2) from the file, otherwise from the outline; `None` for a dropped object."""
    given = entry.get("bbox")
    if given is None or given == []:
        if not entry.get("segmentation"):
            raise ValueError(f"{where} has neither bbox nor segmentation.")
        try:
            return read_outline(entry["segmentation"], size).box()
        except OutlineError as error:
            report(f"{where}: it has no bbox, and its outline cannot be used: {error}", on_bad)
            return None
    if not isinstance(given, list) or len(given) != 4:
        few = isinstance(given, list) and len(given) < 4
        problem = "not enough values in bbox" if few else "bbox is not a list of four numbers"
        raise ValueError(f"{where}: {problem}: expected x, y, width, height, got {reprlib.repr(given)}.")
    try:
        x, y, w, h = map(as_number, given)
    except ValueError as error:
        report(f"{where}: bbox: {error}", on_bad)
        return None
    return x, y, x + w, y + h


def _area(entry: dict[str, Any], box: Box, where: str) -> float:
    """Return the area in the file, otherwise that of the box."""
    given, own = entry.get("area"), (box[2] - box[0]) * (box[3] - box[1])
    if given is None or given == "":
        return own
    try:
        area = as_number(given)
    except ValueError as error:
        raise ValueError(f"{where}: area: {error}.") from None
    if not math.isfinite(area) or area < 0:
        raise ValueError(f"{where}: area: expected square pixels, got {area}.")
    return area
