"""Reading of masks in the formats of several data sets, as class indices.

Shapes: H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from vig_pyg.detection.masks import read_outline
from vig_pyg.image_io import UnreadableImageError, read_labels

#: The label of pixels without a class; they are neither trained on nor evaluated.
IGNORED = 255
#: Largest number of classes, because a label is one byte, and one value means "ignored".
MAX_CLASSES = 255
#: What to do about one image of a training that cannot be used, and about several, at the end of a message.
ADVICE = (
    "; correct or remove it, or use on_bad='drop' (--on-bad drop)",
    "; correct or remove them, or use on_bad='drop' (--on-bad drop)",
)


class Mask(Protocol):
    """A mask that can be read.

    Example:
        >>> mask: Mask = IndexMask(Path("a.png")); mask.with_table([1, 0]).path.name
        'a.png'
    """

    @property
    def path(self) -> Path:
        """The file, for messages."""
        ...

    def read(self) -> np.ndarray:
        """Read the mask as class numbers `(H, W)` of any integer dtype, `IGNORED` where there is no class.

        Shapes: the result is `(H, W)`.

        Raises:
            UnreadableImageError: If the file is not a mask of this kind; the message is the reason, without the file
                name.
            FileNotFoundError: If the file does not exist.
        """
        ...

    def with_table(self, table: Sequence[int]) -> Self:
        """Return the mask with other class numbers: class i becomes `table[i]`.

        The table refers to the current numbers, which an earlier call may have changed.

        Args:
            table: The new index of each class.
        """
        ...


@dataclass(frozen=True)
class IndexMask:
    """A label map: one number for each pixel, as a byte or as an index of a palette.

    Args:
        table: The class of each number from 0; other numbers are errors. `None` if the numbers are the classes.
        renamed: New class numbers (see `with_table`), or `None`.

    Example:
        >>> IndexMask(Path("a.png"), table=(IGNORED, 0, 1)).path.name
        'a.png'
    """

    path: Path
    table: tuple[int, ...] | None = None
    renamed: tuple[int, ...] | None = None

    def read(self) -> np.ndarray:
        """Read the mask (see `Mask`)."""
        labels = read_labels(self.path)
        if self.table is not None:
            labels = _mapped(labels, self.table, "not a number of this data set")
        return labels if self.renamed is None else _renumbered(labels, self.renamed)

    def with_table(self, table: Sequence[int]) -> Self:
        before = self.renamed
        return replace(self, renamed=tuple(table) if before is None else tuple(_new(one, table) for one in before))


@dataclass(frozen=True)
class PanopticMask:
    """A mask of COCO's panoptic format: the three bytes of a pixel are the number of its segment.

    Args:
        segments: The class of each segment by its number; crowds are `IGNORED`.

    Example:
        >>> PanopticMask(Path("a.png"), {7: 2}).with_table([0, 1, 5]).segments
        {7: 5}
    """

    path: Path
    segments: Mapping[int, int]

    def read(self) -> np.ndarray:
        """Read the mask (see `Mask`)."""
        color = read_labels(self.path, color=True).astype(np.int64)
        numbers, places = np.unique(color @ np.array([1, 256, 65536]), return_inverse=True)
        unknown = [int(number) for number in numbers if number and int(number) not in self.segments]
        if unknown:
            raise UnreadableImageError(f"it has a segment {unknown[0]} that is not in the annotation of its image")
        classes = [self.segments[int(number)] if number else IGNORED for number in numbers]
        return np.array(classes, dtype=np.uint8)[places.reshape(color.shape[:2])]

    def with_table(self, table: Sequence[int]) -> Self:
        return replace(self, segments={key: _new(one, table) for key, one in self.segments.items()})


@dataclass(frozen=True)
class OutlineMask:
    """The mask of objects in COCO's format; smaller objects are in front of larger ones.

    Args:
        outlines: The outline and the class of each object; the class of crowds is `IGNORED`.
        background: The class of all other pixels.
        unknown: Outlines, such as boxes, of objects whose pixels are not known; they are ignored, except where a
            smaller object is in front.

    Example:
        >>> OutlineMask(Path("a.jpg"), (4, 5), [([1, 1, 3, 1, 3, 3, 1, 3], 2)]).read().max()
        np.uint8(2)
    """

    path: Path
    size: tuple[int, int]
    outlines: Sequence[tuple[Any, int]]
    background: int = 0
    unknown: Sequence[Any] = ()

    def read(self) -> np.ndarray:
        """Read the mask (see `Mask`)."""
        labels = np.full(self.size, self.background, dtype=np.uint8)
        parts = [(outline, label, label == IGNORED) for outline, label in self.outlines]
        parts += [(outline, IGNORED, False) for outline in self.unknown]
        objects = [(read_outline(outline, self.size), label, crowd) for outline, label, crowd in parts]
        # Crowds are drawn first, so that they cover no object. One mask at a time is decoded, because an image may have
        # hundreds of objects.
        for outline, label, _ in sorted(objects, key=lambda part: (not part[2], -part[0].area())):
            labels[outline.mask() != 0] = label
        return labels

    def with_table(self, table: Sequence[int]) -> Self:
        outlines = [(outline, _new(one, table)) for outline, one in self.outlines]
        return replace(self, outlines=outlines, background=_new(self.background, table))


def _new(number: int, table: Sequence[int]) -> int:
    """Return the new number of a class; ignored pixels do not change."""
    return IGNORED if number == IGNORED else table[number]


def _mapped(labels: np.ndarray, table: Sequence[int], what: str) -> np.ndarray:
    for value in (labels.max(initial=0), labels.min(initial=0)):
        if not 0 <= value < len(table):
            raise UnreadableImageError(f"it has pixels with the value {value}, which is {what} (0 to {len(table) - 1})")
    return np.array(table, dtype=np.int32)[labels]


def _renumbered(labels: np.ndarray, table: Sequence[int]) -> np.ndarray:
    """Replace class indices by others; ignored pixels do not change."""
    ignored = labels == IGNORED
    found = _mapped(np.where(ignored, 0, labels), table, "not a class of this data set")
    return np.where(ignored, IGNORED, found)
