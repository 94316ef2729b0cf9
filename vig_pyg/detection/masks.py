"""Checks of outlines before they are passed to the native code of pycocotools.

pycocotools does not check its arguments: a NaN, a coordinate of 1e9 or run lengths beyond the image make it read and
write outside its memory, or return uninitialized memory. No other module of this package calls `pycocotools.mask`.

Shapes: an image of H rows and W columns; run lengths follow the columns from top to bottom, as in COCO's format.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from vig_pyg._requirements import require
from vig_pyg.detection._values import as_number

#: Largest image, in pixels, as for decoding: COCO's run lengths have 32 bits.
MAX_PIXELS = 178_956_970
#: Polygons are clipped at this number of pixels outside the image, because pycocotools uses integers.
MARGIN = 1000
#: Largest coordinate that is clipped; larger coordinates raise an error.
MAX_COORDINATE = 1e12
#: Longest border of an outline in pixels; pycocotools allocates 80 bytes for each pixel without checking for failure.
MAX_BORDER = 2_000_000


class OutlineError(ValueError):
    """An outline cannot be used. The message is the reason, without the names of file and annotation."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A checked outline, which only `read_outline` creates.

    Args:
        size: Height and width of the image.
        polygons: Points (x, y) of each polygon, `(n, 2)`; the object is the union of the polygons.
        counts: Alternating run lengths of background and object, which cover the image, instead of polygons.
        ignored: Number of omitted polygons without area (fewer than three points, or outside the image).

    Example:
        >>> read_outline([1, 1, 3, 1, 3, 3, 1, 3], (4, 5)).box()
        (1.0, 1.0, 3.0, 3.0)
    """

    size: tuple[int, int]
    polygons: tuple[np.ndarray, ...] = ()
    counts: np.ndarray | None = None
    ignored: int = 0

    def encoded(self) -> dict[str, Any]:
        """Return the outline as COCO's compressed run lengths."""
        height, width = self.size
        if self.counts is not None:
            plain = {"size": [height, width], "counts": self.counts.tolist()}
            found: dict[str, Any] = _coco_mask().frPyObjects(plain, height, width)
            return found
        flat = [polygon.ravel().tolist() for polygon in self.polygons]
        merged: dict[str, Any] = _coco_mask().merge(_coco_mask().frPyObjects(flat, height, width))
        return merged

    def mask(self) -> np.ndarray:
        """Return the object as a mask of 0 and 1, uint8 `(H, W)`."""
        return np.asarray(_coco_mask().decode(self.encoded()), dtype=np.uint8)

    def area(self) -> int:
        """Return the number of pixels of the object."""
        return int(_coco_mask().area(self.encoded()))

    def box(self) -> tuple[float, float, float, float]:
        """Return the bounding box (x1, y1, x2, y2) of the object, within the image."""
        height, width = self.size
        if self.counts is not None:
            x, y, w, h = map(float, _coco_mask().toBbox(self.encoded()))
            return x, y, x + w, y + h
        points = np.concatenate(self.polygons).clip(0, [width, height])
        (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
        return x1, y1, x2, y2


def read_outline(segmentation: Any, size: tuple[int, int]) -> Outline:
    """Check COCO's `segmentation`, and return it as an `Outline`.

    Polygons are lists of numbers or of pairs; a single polygon may be given without the outer list. Parts outside the
    image are cut off. Run lengths are a dict with `counts` (a list, or COCO's compressed text) and `size`.

    Args:
        segmentation: The `segmentation` of an annotation, or an `Outline`.
        size: Height and width of the image.

    Raises:
        OutlineError: If the segmentation has another form, or does not describe an outline in this image.

    Example:
        >>> read_outline([1, 1, 3, 1, 3, 3, 1, 3], (4, 5)).mask().sum()
        np.uint64(4)
    """
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise OutlineError(f"outlines cannot be read in an image of {width} x {height} pixels")
    if isinstance(segmentation, Outline):
        if segmentation.size != tuple(size):
            raise OutlineError(f"it is an outline for an image of size {segmentation.size}, expected {size}")
        return segmentation
    if isinstance(segmentation, np.ndarray):
        segmentation = segmentation.tolist()
    if _is_list(segmentation) and len(segmentation) == 1 and isinstance(segmentation[0], dict):
        segmentation = segmentation[0]
    if isinstance(segmentation, dict):
        return Outline(size, counts=_run_lengths(segmentation, size))
    if not _is_list(segmentation):
        raise OutlineError(f"expected polygons or run lengths, got {reprlib.repr(segmentation)}")
    return _polygons(_parts(segmentation), size)


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask `(H, W)`, which is true inside the object, as COCO's compressed run lengths for JSON.

    Raises:
        OutlineError: If the mask has another shape, is empty, or is too large.

    Example:
        >>> encode_mask(np.ones((2, 3), bool))["size"]
        [2, 3]
    """
    if mask.ndim != 2 or not 0 < mask.size <= MAX_PIXELS:
        raise OutlineError(f"expected a map (H, W) of 1 to {MAX_PIXELS} pixels, got the shape {mask.shape}")
    lengths = _coco_mask().encode(np.asfortranarray(mask.astype(bool).astype(np.uint8)))
    return {"size": [int(side) for side in lengths["size"]], "counts": lengths["counts"].decode("ascii")}


@cache
def _coco_mask() -> Any:
    """Import the functions of pycocotools when they are first needed; detectors without outlines do not need them."""
    require("Reading and writing outlines", ["pycocotools"], "detection")
    from pycocotools import mask

    return mask


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _parts(segmentation: list[Any]) -> list[np.ndarray]:
    """Return the points of each polygon, `(n, 2)`, without checks of their positions."""
    nested = [_is_list(part) for part in segmentation]
    if not any(nested):
        return [_points(segmentation)]
    if not all(nested):
        other = segmentation[nested.index(False)]
        raise OutlineError(f"its list of polygons contains {reprlib.repr(other)}")
    if all(len(part) == 2 and not any(map(_is_list, part)) for part in segmentation):
        return [_points(segmentation)]
    return [_points(part) for part in segmentation]


def _points(part: list[Any]) -> np.ndarray:
    """Return the points `(n, 2)` of one polygon, which is given as numbers or as pairs."""
    if any(map(_is_list, part)):
        if not all(_is_list(pair) and len(pair) == 2 for pair in part):
            raise OutlineError("a polygon mixes points with something else")
        part = [value for pair in part for value in pair]
    values = _numbers(part)
    if len(values) % 2:
        raise OutlineError(f"a polygon has an odd number of coordinates, {len(values)}")
    largest = np.abs(values).max(initial=0)
    if not largest <= MAX_COORDINATE:  # true for NaN as well
        raise OutlineError("a coordinate is not finite" if not largest < np.inf else f"a coordinate is {largest:g}")
    return values.reshape(-1, 2)  # (2 n,) -> (n, 2)


def _numbers(values: list[Any]) -> np.ndarray:
    """Convert numbers, or text that contains numbers, to an array."""
    try:
        if not all(type(value) in (int, float) for value in values):
            values = [as_number(value) for value in values]
        return np.array(values, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise OutlineError(str(error)) from error


def _polygons(parts: list[np.ndarray], size: tuple[int, int]) -> Outline:
    """Return the polygons that have an area within the image."""
    found, few = [], 0
    for points in parts:
        few += len(points) < 3
        cut = _cut(points, size) if len(points) >= 3 else points
        if len(cut) >= 3:
            found.append(cut)
    if not found:
        height, width = size
        where = f"lies outside the image of {width} x {height} pixels"
        raise OutlineError("it has fewer than three points" if few == len(parts) else f"it {where}")
    border = sum(float(np.abs(p - np.roll(p, -1, 0)).max(1).sum()) for p in found)
    if border > MAX_BORDER:
        raise OutlineError(f"its border is {border:.0f} pixels long, more than {MAX_BORDER}")
    return Outline(size, polygons=tuple(found), ignored=len(parts) - len(found))


def _cut(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Clip a polygon to a region around the image (Sutherland and Hodgman); the result may be empty."""
    ends = np.array([size[1], size[0]], dtype=np.float64)
    low, high = points.min(0), points.max(0)
    if (high <= 0).any() or (low >= ends).any():
        return points[:0]
    for axis in (0, 1):
        if low[axis] < -MARGIN:
            points = _half(points, axis, -float(MARGIN), 1)
        if high[axis] > ends[axis] + MARGIN and len(points):
            points = _half(points, axis, float(ends[axis]) + MARGIN, -1)
    return points


def _half(points: np.ndarray, axis: int, limit: float, sign: int) -> np.ndarray:
    """Return the part of a polygon on one side of a line."""
    here = sign * (points[:, axis] - limit)
    there, after = np.roll(here, -1), np.roll(points, -1, 0)
    inside, crosses = here >= 0, (here >= 0) != (there >= 0)
    share = np.divide(here, here - there, out=np.zeros_like(here), where=crosses)
    cuts = points + share[:, None] * (after - points)
    cuts[:, axis] = limit
    kept = np.stack([inside, crosses], 1)
    return np.stack([points, cuts], 1)[kept]  # (n, 2, 2) -> (m, 2), in order


def _run_lengths(entry: dict[Any, Any], size: tuple[int, int]) -> np.ndarray:
    """Return run lengths that cover the whole image; only the first may be zero."""
    own, pixels = entry.get("size", size), size[0] * size[1]
    counts: Any = entry.get("counts")
    sides = _numbers(list(own)).tolist() if _is_list(own) else None
    if sides != list(size):
        turned = sides == [size[1], size[0]]
        hint = "height comes first" if turned else "they belong to another image"
        raise OutlineError(f"its run lengths have the size {reprlib.repr(own)}, expected {list(size)}: {hint}")
    if isinstance(counts, str | bytes):
        values = _unpacked(counts)
    elif _is_list(counts):
        values = _numbers(counts)
    else:
        raise OutlineError(f"its counts are {reprlib.repr(counts)}, expected a list or text")
    if not ((values >= 0) & (values <= pixels) & (values == np.floor(values))).all():  # true for NaN as well
        raise OutlineError(f"its run lengths are not whole numbers from 0 to {pixels}")
    if values.sum() != pixels:
        raise OutlineError(f"its run lengths cover {values.sum():.0f} pixels, the image has {pixels}")
    ends, times = np.unique(np.cumsum(values[:-1]), return_counts=True)
    ends = ends[(times % 2 == 1) & (ends < pixels)]  # a run of no pixels joins its neighbors
    if not len(ends):
        raise OutlineError("it covers no pixel")
    return np.diff(ends, prepend=0, append=pixels).astype(np.uint32)


def _unpacked(counts: str | bytes) -> np.ndarray:
    """Decode COCO's compressed run lengths to numbers.

    Each character holds five bits of a number, and a sixth bit that is set if more characters follow. From the fourth
    number on, the difference to the second-to-last number is stored.
    """
    data = counts.encode(errors="replace") if isinstance(counts, str) else counts
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise OutlineError("its compressed run lengths are truncated, or contain invalid characters")
    starts = np.flatnonzero(np.concatenate([[True], (codes[:-1] & 32) == 0]))
    lengths = np.diff(starts, append=len(codes))
    if lengths.max() > 8:
        raise OutlineError("its compressed run lengths contain a number of more than 40 bits")
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * places), starts)
    values -= np.where(codes[starts + lengths - 1] & 16, 1, 0) << (5 * lengths)  # the bit of the sign
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values.astype(np.float64)
