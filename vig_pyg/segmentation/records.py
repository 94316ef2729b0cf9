"""Images with their masks, independent of the file format, and the check of all masks of a data set.

Shapes: H x W pixels of the upright image.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from vig_pyg._io.cores import num_cores
from vig_pyg._io.faults import fault_of, first_ten, list_faults
from vig_pyg._io.numbers import are
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.detection.turns import turn_maps, turned_size
from vig_pyg.image_io import UnreadableImageError, stored_size
from vig_pyg.segmentation.masks import ADVICE, IGNORED, MAX_CLASSES, Mask

OnBad = Literal["drop", "stop"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentationRecord:
    """An image and its mask."""

    path: Path
    mask: Mask


@dataclass(frozen=True)
class SegmentationDataset:
    """Images with masks, in any format.

    Args:
        class_names: Names of the classes, in the order of the labels from 0.
        read_files: Files that were read besides the images and masks, such as a list of classes.

    Raises:
        ValueError: If there is no image, there are more than 255 classes, or two classes have the same name.

    Example:
        >>> from vig_pyg.segmentation.masks import IndexMask
        >>> records = [SegmentationRecord(Path("a.jpg"), IndexMask(Path("a.png")))]
        >>> SegmentationDataset("pets", records, ["cat", "dog"]).title
        'pets'
    """

    title: str
    records: Sequence[SegmentationRecord]
    class_names: list[str]
    read_files: Sequence[Path] = ()

    def __post_init__(self) -> None:
        if not self.records:
            raise ValueError(f"{self.title} has no images.")
        if not 1 <= len(self.class_names) <= MAX_CLASSES:
            raise ValueError(f"{self.title} has {len(self.class_names)} classes, expected 1 to {MAX_CLASSES}.")
        twice = [name for name, count in Counter(self.class_names).items() if count > 1]
        if twice:
            raise ValueError(
                f"{self.title} has several classes called {twice[0]!r}, but classes are matched by name: rename one of "
                "them, or give their pixels one label."
            )

    @property
    def files(self) -> list[Path]:
        """All files of the data set, which no output may replace."""
        return [*self.read_files, *(path for one in self.records for path in (one.path, one.mask.path))]

    def with_classes(self, names: list[str]) -> Self:
        """Return the same images with the labels of another list of classes; classes are matched by name.

        Raises:
            ValueError: If a class is not among them.
        """
        if names == self.class_names:
            return self
        missing = [name for name in self.class_names if name not in names]
        if missing:
            raise ValueError(
                f"{self.title} has classes that are not among those of the training or of the model: "
                f"{', '.join(map(repr, missing[:5]))}. Expected {', '.join(map(repr, names[:20]))}."
            )
        table = [names.index(name) for name in self.class_names]
        records = [replace(record, mask=record.mask.with_table(table)) for record in self.records]
        return replace(self, records=records, class_names=names)


def read_photo(record: SegmentationRecord) -> Tensor:
    """Read the image of a record upright in color, uint8 `(3, H, W)`."""
    try:
        return read_pixels(record.path)
    except UnreadableImageError as error:
        raise ValueError(f"{record.path} cannot be read: {error}.") from error


def read_mask(record: SegmentationRecord, num_classes: int) -> Tensor:
    """Read the mask of an image in the orientation of the upright image.

    For a photo that is rotated by its EXIF orientation, the size of the mask shows whether the mask was drawn before or
    after the rotation.

    Args:
        num_classes: Number of classes; every label must be below it, or 255.

    Shapes: the result is `(H, W)`.

    Returns:
        The labels `(H, W)` of uint8.

    Raises:
        ValueError: If the mask cannot be read, if its size differs from that of its image, if it has an invalid label,
            or if its orientation is not known; the message names the file.
        FileNotFoundError: If the image or the mask does not exist.
    """
    where = record.mask.path
    try:
        (width, height), turn = stored_size(record.path)
    except UnreadableImageError as error:
        raise ValueError(f"{record.path} cannot be read: {error}.") from error
    try:
        labels = record.mask.read()
    except ValueError as error:
        raise ValueError(f"The mask {where} cannot be used: {error}.") from error
    turn = _turn_of(record, labels, (height, width), turn)
    wrong = (labels >= num_classes) & (labels != IGNORED) | (labels < 0)
    if wrong.any():
        raise ValueError(
            f"The mask {where} has pixels of class {int(labels[wrong][0])}, but there are {num_classes} classes: "
            f"expected 0 to {num_classes - 1}, or {IGNORED} for pixels without a class."
        )
    return turn_maps(torch.from_numpy(np.ascontiguousarray(labels, dtype=np.uint8)), turn)


def _turn_of(record: SegmentationRecord, labels: np.ndarray, raw: tuple[int, int], turn: int) -> int:
    """Return the orientation by which a mask `(H, W)` must be rotated to fit the upright image."""
    size, upright = (labels.shape[0], labels.shape[1]), turned_size(raw, turn)
    if turn != 1 and raw == upright == size:
        if _is_symmetric(labels, turn):
            return 1
        raise ValueError(
            f"{record.path} is rotated by its EXIF data (orientation {turn}), and its size is the same before and "
            f"after. So it is not known whether the mask {record.mask.path} was drawn before or after the rotation. "
            "Save the image without EXIF orientation, as it was when the mask was drawn."
        )
    if size == upright:
        return 1
    if size == raw:
        return turn
    raise ValueError(
        f"The mask {record.mask.path} has {size[1]} x {size[0]} pixels, but its image {record.path} has {upright[1]} x "
        f"{upright[0]}: a mask needs one label for each pixel. Resize the mask without interpolation, or resize the "
        "image."
    )


def _is_symmetric(labels: np.ndarray, turn: int) -> bool:
    """True if a rotation does not change the labels, as in a mask of a single class."""
    maps = torch.from_numpy(labels.astype(np.int64))
    return torch.equal(maps, turn_maps(maps, turn))


@dataclass(frozen=True)
class Checked:
    """The result of reading all masks of a data set once.

    Args:
        counts: Number of pixels of each class, int64 `(num_classes,)`.
        left_out: The reason for each image that cannot be used and is left out.
    """

    data: SegmentationDataset
    counts: Tensor
    left_out: Sequence[str] = ()


def check_masks(data: SegmentationDataset, *, on_bad: OnBad = "stop", keep_unlabeled: bool = False) -> Checked:
    """Read every image and mask once, so mistakes are found before the first step, and count the pixels of each class.

    Args:
        on_bad: How to handle an image or a mask that cannot be used: `"stop"` with an error, or `"drop"` the image with
            a warning.
        keep_unlabeled: If false, images without any labeled pixel are left out with a warning, because nothing can be
            learned from them.

    Raises:
        ValueError: If an image or a mask cannot be used (see `read_photo`, `read_mask`), or no image is left.
        FileNotFoundError: If a file does not exist.
    """
    count = len(data.class_names)
    total = torch.zeros(256, dtype=torch.long)
    kept: list[SegmentationRecord] = []
    bad, left_out, unlabeled = list[Exception](), list[str](), list[Path]()
    for record, found in zip(data.records, _counted(data.records, count), strict=True):
        if isinstance(found, Exception):
            bad.append(found)
            left_out.append(fault_of(record.path, found))
        elif not keep_unlabeled and not found[:count].any():
            unlabeled.append(record.mask.path)
        else:
            total += found
            kept.append(record)
    named = first_ten(texts := [str(one) for one in bad])
    if bad and on_bad == "stop":
        kind, advice = ValueError if isinstance(bad[0], ValueError) else type(bad[0]), ADVICE[len(bad) > 1]
        raise kind(list_faults(texts, len(data.records), what=f"images of {data.title}", advice=advice)) from bad[0]
    if bad:
        _log.warning(
            "%s: %d of %d images %s left out:%s", data.title, len(bad), len(data.records), are(len(bad)), named
        )
    if unlabeled:
        _log.warning(
            "%s: %d of %d masks without any labeled pixel %s left out with their images:%s",
            data.title, len(unlabeled), len(data.records), are(len(unlabeled)), first_ten(list(map(str, unlabeled))),
        )  # fmt: skip
    if not kept:
        why = named if bad else f" no mask has a labeled pixel, such as {unlabeled[0]}."
        raise ValueError(f"None of the {len(data.records)} images of {data.title} can be used:{why}")
    usable = data if len(kept) == len(data.records) else replace(data, records=kept)
    return Checked(usable, total[:count], left_out)


def _counted(records: Sequence[SegmentationRecord], num_classes: int) -> Iterator[Tensor | Exception]:
    """Yield the pixel counts of each mask by label, or an error; decoders release Python's lock, so threads help."""

    def count(record: SegmentationRecord) -> Tensor | Exception:
        try:
            counts = torch.bincount(read_mask(record, num_classes).flatten().int(), minlength=256)
            read_photo(record)  # only decoding shows that a file is truncated
            return counts
        except (ValueError, OSError) as error:
            return error

    with ThreadPoolExecutor(min(8, num_cores())) as pool:
        yield from pool.map(count, records)
