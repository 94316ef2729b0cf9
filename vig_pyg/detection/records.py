"""Images and their annotated objects, independent of the file format."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from vig_pyg._io.numbers import counted
from vig_pyg.detection.masks import Outline, OutlineError, read_outline

OnBad = Literal["drop", "stop"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotation:
    """An object in an image.

    Args:
        box: x1, y1, x2, y2 in pixels, within the image.
        label: Label of its class, from 1.
        crowd: COCO `iscrowd` or VOC `difficult`. The object is ignored in training, and detections that match it are
            not counted as false positives.
        segmentation: COCO's polygons or run lengths as in the file, an `Outline`, or `None`.
        area: Area in square pixels, by which COCO's evaluation groups objects into small, medium and large.
        name: Name of the object in messages, such as `"annotation 12"`.
    """

    box: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    segmentation: Any = None
    area: float = 0.0
    name: str = "an object"


@dataclass(frozen=True)
class ImageRecord:
    """An image and its objects.

    Args:
        size: Height and width in pixels of the image to which the boxes refer.
        turn: EXIF orientation (1 to 8) by which boxes and outlines must be rotated to fit the upright image; 1 if they
            already fit.
    """

    path: Path
    image_id: int
    size: tuple[int, int]
    annotations: list[Annotation] = field(default_factory=list)
    turn: int = 1


@dataclass(frozen=True)
class DetectionDataset:
    """The annotated images of one source.

    Args:
        class_names: Names of the classes, starting with that of label 1.
        category_ids: COCO category IDs of the classes.
        on_bad: How to handle outlines that cannot be used: `"drop"` or `"stop"`.
        read_files: Files that were read besides the images, such as the annotations.
    """

    title: str
    records: list[ImageRecord]
    class_names: list[str]
    category_ids: list[int]
    on_bad: OnBad = "drop"
    read_files: Sequence[Path] = ()

    @property
    def files(self) -> list[Path]:
        """All files of the data set, which no output may replace."""
        return [*self.read_files, *(record.path for record in self.records)]

    @property
    def has_masks(self) -> bool:
        """True if every object has an outline."""
        things = [thing for record in self.records for thing in record.annotations]
        return bool(things) and all(_is_there(thing.segmentation) for thing in things)

    def with_classes(self, names: list[str]) -> Self:
        """Return the same objects with the labels of other class names, matched by name.

        Names that this data set lacks become classes without objects, and get a new category ID. Classes of this data
        set that are not among the names are removed if no object has them.

        Raises:
            ValueError: If an object has a class that is not among the names, or if some classes are missing and others
                are new, which suggests that classes were renamed.
        """
        if names == self.class_names:
            return self
        missing = [name for name in names if name not in self.class_names]
        further = [name for name in self.class_names if name not in names]
        used = {thing.label for record in self.records for thing in record.annotations}
        if further and (missing or any(self.class_names.index(name) + 1 in used for name in further)):
            raise ValueError(
                f"{self.title} and the training set have different classes; only one of the two has "
                f"{sorted([*missing, *further])}. Classes are matched by name: use the same names, or remove the "
                "objects of classes that are not trained."
            )
        if further:
            _log.warning("%s: dropped the classes %s, which are not trained and have no object.", self.title, further)
        ids, largest = dict(zip(self.class_names, self.category_ids, strict=True)), max(self.category_ids, default=0)
        ids |= {name: largest + 1 + i for i, name in enumerate(missing)}
        labels = {i + 1: names.index(name) + 1 for i, name in enumerate(self.class_names) if name in names}
        records = [
            replace(record, annotations=[replace(thing, label=labels[thing.label]) for thing in record.annotations])
            for record in self.records
        ]
        return replace(self, records=records, class_names=list(names), category_ids=[ids[name] for name in names])

    def outlined(self) -> Self:
        """Return a copy with checked outlines, for Mask R-CNN; the outline of a crowd without one is its box.

        An object whose outline is missing or unusable is dropped with a warning or raises an error (see `on_bad`).

        Raises:
            ValueError: If no object has an outline, or one cannot be used and `on_bad` is `"stop"`.
        """
        things = [thing for record in self.records for thing in record.annotations if not thing.crowd]
        if things and not any(_is_there(thing.segmentation) for thing in things):
            raise ValueError(
                f"{self.title} has objects without outlines ({things[0].name} is the first): Mask R-CNN cannot learn "
                "from them. Choose RetinaNet or Faster R-CNN, or annotate outlines."
            )
        records = []
        for record in self.records:
            found = [_outlined(thing, record, self) for thing in record.annotations]
            records.append(replace(record, annotations=[thing for thing in found if thing is not None]))
        return replace(self, records=records)


def _is_there(segmentation: Any) -> bool:
    """True if a segmentation is not empty."""
    return segmentation is not None and not (isinstance(segmentation, list | tuple | dict | str) and not segmentation)


def _outlined(thing: Annotation, record: ImageRecord, source: DetectionDataset) -> Annotation | None:
    """Return the object with its checked outline, or `None` if it has no usable outline."""
    try:
        return replace(thing, segmentation=outline_of(thing, record, source.title))
    except OutlineError as error:
        report(str(error), source.on_bad)
        return None


def outline_of(thing: Annotation, record: ImageRecord, title: str) -> Outline:
    """Return the checked outline of an object; that of a crowd without one is its box.

    Raises:
        OutlineError: If the outline is missing or cannot be used; the message names the image and the object.
    """
    where, segmentation = f"{title}: {record.path}, {thing.name}", thing.segmentation
    if thing.crowd and not _is_there(segmentation):
        x1, y1, x2, y2 = thing.box
        segmentation = [x1, y1, x2, y1, x2, y2, x1, y2]
    try:
        if not _is_there(segmentation):
            raise OutlineError("it has no outline")
        outline = read_outline(segmentation, record.size)
    except OutlineError as error:
        raise OutlineError(f"{where}: the outline cannot be used: {error}") from error
    if outline.ignored and not isinstance(segmentation, Outline):
        _log.warning("%s: dropped %s without area in the image.", where, counted(outline.ignored, "polygons"))
    return outline


def report(message: str, on_bad: OnBad) -> None:
    """Log that an object is dropped, or raise an error.

    Args:
        message: The file, the object and the problem, without a final period.

    Example:
        >>> report("a.jpg: no area", "stop")
        Traceback (most recent call last):
        ValueError: a.jpg: no area: correct it, or drop such objects with on_bad='drop' (--on-bad drop).
    """
    if on_bad == "stop":
        raise ValueError(f"{message}: correct it, or drop such objects with on_bad='drop' (--on-bad drop).")
    _log.warning("Dropped an object: %s.", message)


def clip_box(
    box: tuple[float, float, float, float], size: tuple[int, int], where: str, on_bad: OnBad
) -> tuple[float, float, float, float] | None:
    """Clip a box to its image, and return `None` if no area is left.

    Args:
        box: x1, y1, x2, y2.

    Raises:
        ValueError: If the box has no area within the image and `on_bad` is `"stop"`.

    Example:
        >>> clip_box((-2, 3, 10, 90), (50, 60), "a.jpg", "stop")
        (0.0, 3.0, 10.0, 50.0)
    """
    height, width = size
    x1, x2 = (min(max(float(x), 0.0), float(width)) for x in (box[0], box[2]))
    y1, y2 = (min(max(float(y), 0.0), float(height)) for y in (box[1], box[3]))
    if x2 > x1 and y2 > y1 and all(map(math.isfinite, box)):
        return x1, y1, x2, y2
    report(
        f"{where}: the box {tuple(box)} (x1, y1, x2, y2) has no area in an image of {width} x {height} pixels", on_bad
    )
    return None
