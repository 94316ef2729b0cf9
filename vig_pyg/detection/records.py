"""One picture and its objects, whatever format they come from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

OnBad = Literal["drop", "stop"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thing:
    """An object in a picture.

    Args:
        box: x1, y1, x2, y2 in pixels, within the picture.
        label: Number of its class, from 1.
        crowd: Whether it stands for many, or is too hard to count: not trained on, and no detection of it is wrong.
        segmentation: COCO's polygons or run lengths, or `None`.
        area: Area in square pixels by which COCO's evaluation sorts objects into small, medium and large.
    """

    box: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    segmentation: Any = None
    area: float = 0.0


@dataclass(frozen=True)
class Record:
    """A picture and its objects.

    Args:
        path: The file.
        image_id: Its number in results.
        size: Height and width in pixels.
        things: The objects.
    """

    path: Path
    image_id: int
    size: tuple[int, int]
    things: list[Thing] = field(default_factory=list)


@dataclass(frozen=True)
class Annotated:
    """The pictures of one source.

    Args:
        title: A name for reports.
        records: The pictures.
        class_names: Names of the classes, label 1 first.
        category_ids: Their numbers in COCO results.
    """

    title: str
    records: list[Record]
    class_names: list[str]
    category_ids: list[int]

    @property
    def has_masks(self) -> bool:
        """Whether every object has its outline."""
        things = [thing for record in self.records for thing in record.things]
        return bool(things) and all(thing.segmentation for thing in things)

    def with_classes(self, names: list[str]) -> Self:
        """The same, or an error where the classes are not these.

        Raises:
            ValueError: If they differ, with those that do.
        """
        if names != self.class_names:
            differ = sorted(set(names) ^ set(self.class_names)) or "their order"
            raise ValueError(f"{self.title} has other classes than the training set: {differ}.")
        return self


def sound_box(
    box: tuple[float, float, float, float], size: tuple[int, int], where: str, on_bad: OnBad
) -> tuple[float, float, float, float] | None:
    """A box cut to its picture; `None` for one without area, which is reported.

    Args:
        box: x1, y1, x2, y2.
        size: Height and width of the picture.
        where: The file and the object, for the report.
        on_bad: `"drop"` leaves a box without area out and logs it, `"stop"` raises.

    Raises:
        ValueError: If the box has no area within the picture and `on_bad` is `"stop"`.

    Example:
        >>> sound_box((-2, 3, 10, 90), (50, 60), "a.jpg", "stop")
        (0.0, 3.0, 10.0, 50.0)
    """
    height, width = size
    x1, x2 = (min(max(float(x), 0.0), float(width)) for x in (box[0], box[2]))
    y1, y2 = (min(max(float(y), 0.0), float(height)) for y in (box[1], box[3]))
    if x2 > x1 and y2 > y1:  # false for NaN, too
        return x1, y1, x2, y2
    message = f"{where}: the box {tuple(box)} (x1, y1, x2, y2) has no area in a picture of {width} x {height} pixels"
    if on_bad == "stop":
        raise ValueError(f"{message}: mend it, or leave such boxes out with on_bad='drop' (--on-bad drop).")
    _log.warning("Left out: %s.", message)
    return None
