"""Photos that their EXIF data turns, and boxes that were drawn before or after turning.

Images are read upright. COCO's own tools read raw pixels, so a box may be given in either way; the size that an
annotation gives tells which.

Shapes: N objects in an image of H x W pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vig_pyg.image_io import UnreadableImageError, stored_size

#: Height and width in pixels.
Size = tuple[int, int]
#: What each EXIF orientation does to raw pixels: rows become columns, then left and right, then up and down change.
_STEPS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
#: The orientation that undoes another one, where it is not its own inverse.
_BACK = {6: 8, 8: 6}


def settle(path: Path, size: Size | None, *, objects: bool) -> tuple[Size, int]:
    """Find the size in which the boxes of an image are given, and the orientation by which they must be turned.

    Args:
        path: The image; only its header is read where it is not turned.
        size: The size that the annotation gives, or `None`.
        objects: Whether the image has objects.

    Returns:
        The size, and 1 where the boxes lie on the upright image, else the EXIF orientation, from 2 to 8.

    Raises:
        ValueError: If neither annotation nor file gives a size, or a turned image looks the same before and after.
    """
    header = _header(path)
    if header is None:
        if size is None:
            raise ValueError(f"{path} cannot be read as an image, and its annotation gives no size.")
        return size, 1  # what is wrong is said when it is read
    raw, upright, orientation = header
    if orientation == 1:
        return size or upright, 1
    if size is not None and (raw != upright or size != raw):
        return size, orientation if size == raw else 1  # a third size is that of another image: said when it is read
    if not objects:
        return size or upright, 1
    raise ValueError(
        f"{path} is turned by its EXIF data (orientation {orientation}), and "
        f"{'its annotation gives no size' if size is None else 'its size is the same before and after'}: so it is not "
        "known whether its boxes were drawn before or after turning. Save its pixels as the boxes were drawn, without "
        "EXIF orientation."
    )


def _header(path: Path) -> tuple[Size, Size, int] | None:
    """Size before and after turning, and the orientation; `None` if it cannot be read."""
    try:
        (width, height), orientation = stored_size(path)
    except (UnreadableImageError, OSError):
        return None
    return (height, width), turned_size((height, width), orientation), orientation


def turned_size(size: Size, orientation: int) -> Size:
    """Return the size after turning.

    Example:
        >>> turned_size((30, 40), 6)
        (40, 30)
    """
    return (size[1], size[0]) if _STEPS[orientation][0] else size


def turn_boxes(boxes: Tensor, size: Size, orientation: int) -> Tensor:
    """Boxes `(N, 4)` (x1, y1, x2, y2) of raw pixels on the upright image, whose size is given."""
    transposed, *flips = _STEPS[orientation]
    boxes = boxes[:, [1, 0, 3, 2]] if transposed else boxes
    for axis, end in ((0, size[1]), (1, size[0])):
        if flips[axis]:
            boxes = boxes.clone()
            boxes[:, [axis, axis + 2]] = end - boxes[:, [axis + 2, axis]]
    return boxes


def turn_boxes_back(boxes: Tensor, size: Size, orientation: int) -> Tensor:
    """Invert `turn_boxes`; the size is that of the upright image, too."""
    return turn_boxes(boxes, turned_size(size, orientation), _BACK.get(orientation, orientation))


def turn_maps(maps: Tensor, orientation: int) -> Tensor:
    """Turn maps `(..., H, W)` of raw pixels as they lie on the upright image."""
    transposed, horizontal, vertical = _STEPS[orientation]
    maps = maps.transpose(-1, -2) if transposed else maps
    return torch.flip(maps, [axis for axis, flip in ((-1, horizontal), (-2, vertical)) if flip])


def turn_maps_back(maps: Tensor, orientation: int) -> Tensor:
    """Invert `turn_maps`."""
    return turn_maps(maps, _BACK.get(orientation, orientation))
