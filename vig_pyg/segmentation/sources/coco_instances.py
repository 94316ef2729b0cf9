"""Conversion of the objects of COCO's instance format to masks of classes.

Shapes: H x W pixels.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from pathlib import Path
from typing import Any

from vig_pyg._io.launcher import as_started
from vig_pyg._io.numbers import are
from vig_pyg._requirements import require
from vig_pyg.detection._values import as_number, as_whole
from vig_pyg.detection.coco import read_coco
from vig_pyg.detection.masks import Outline, OutlineError
from vig_pyg.detection.records import Annotation, DetectionDataset, ImageRecord, outline_of
from vig_pyg.segmentation.masks import IGNORED, OutlineMask
from vig_pyg.segmentation.records import OnBad, SegmentationDataset, SegmentationRecord

#: The class of pixels without an object.
BACKGROUND = "background"
_log = logging.getLogger(__name__)


def read_instances(path: Path, content: dict[str, Any], part: str | None, on_bad: OnBad) -> SegmentationDataset:
    """Convert the content of a file in COCO's instance format."""
    require("Reading outlines of objects", ["pycocotools"], "detection")
    found = read_coco(path, part, on_bad=on_bad, content=_with_boxes_of_outlines(content))
    things = [thing for record in found.records for thing in record.annotations if not thing.crowd]
    if things and all(thing.segmentation is None for thing in things):
        raise ValueError(
            f"{found.title} has objects without outlines ({things[0].name} is the first): a segmentation network "
            "cannot learn from boxes. Annotate outlines, or train a detector with "
            f"`{as_started('vig-pyg detect train')}`."
        )
    names = [BACKGROUND, *(name for name in found.class_names if name.casefold() != BACKGROUND)]
    labels = [names.index(BACKGROUND if name.casefold() == BACKGROUND else name) for name in found.class_names]
    counts = Counter(as_whole(entry["image_id"]) for entry in content["annotations"])
    records = [
        SegmentationRecord(record.path, _mask(record, found, labels, on_bad))
        for record in found.records
        if len(record.annotations) == counts[record.image_id]
    ]
    lost = len(found.records) - len(records)
    if lost:
        _log.warning(
            "%s: %d of %d images %s left out, because an object whose place in the image is not known was dropped.",
            path, lost, len(found.records), are(lost),
        )  # fmt: skip
    return SegmentationDataset(found.title, records, names, read_files=[path])


def _mask(record: ImageRecord, source: DetectionDataset, labels: list[int], on_bad: OnBad) -> OutlineMask:
    """Return the mask of an image; `labels` are the classes of the labels from 1."""
    outlines: list[tuple[Outline, int]] = []
    unknown: list[list[float]] = []
    for thing in record.annotations:
        try:
            outline = outline_of(thing, record, source.title)
            _check_area(outline, f"{source.title}: {record.path}, {thing.name}")
            outlines.append((outline, IGNORED if thing.crowd else labels[thing.label - 1]))
        except OutlineError as error:
            if on_bad == "stop":
                raise ValueError(
                    f"{error}: correct it, or ignore the pixels of its box with on_bad='drop' (--on-bad drop)."
                ) from error
            _log.warning("The pixels of the box of an object are ignored: %s.", error)
            unknown.append(_box(thing))
    return OutlineMask(record.path, record.size, outlines, unknown=unknown)


def _check_area(outline: Outline, where: str) -> None:
    """Raise an error for polygons whose points lie on a line, of which no pixel would remain."""
    if outline.counts is not None:
        return
    for points in outline.polygons:
        x, y = (points - points[0]).T
        if abs(x[:-1] @ y[1:] - x[1:] @ y[:-1]) > 1e-6:
            return
    if not outline.area():  # a polygon that intersects itself may have parts of equal area, which cancel
        raise OutlineError(f"{where}: the outline cannot be used: its points lie on a line")


def _box(thing: Annotation) -> list[float]:
    """Return the box of an object as a polygon that covers all its pixels."""
    (x1, y1), (x2, y2) = map(math.floor, thing.box[:2]), map(math.ceil, thing.box[2:])
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def _with_boxes_of_outlines(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content without the unusable boxes of objects with outlines, from which boxes are then computed."""
    entries = content.get("annotations")
    if not isinstance(entries, list):
        return content
    return {**content, "annotations": [_without_bad_box(entry) for entry in entries]}


def _without_bad_box(entry: Any) -> Any:
    if not isinstance(entry, dict) or not entry.get("segmentation") or not isinstance(entry.get("bbox"), list):
        return entry
    try:
        x, y, w, h = map(as_number, entry["bbox"])
    except ValueError:
        return {**entry, "bbox": None}
    return entry if w > 0 and h > 0 and math.isfinite(x + y + w + h) else {**entry, "bbox": None}
