"""Conversion of boxes and outlines for photos that are rotated by their EXIF orientation.

Images are read upright. COCO's own tools read raw pixels, so a box may refer to either orientation; the image size in
the annotation decides which one.

Shapes: N objects in an image of H x W pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vig_pyg.image_io import UnreadableImageError, stored_size

#: Height and width in pixels.
Size = tuple[int, int]
#: The steps of each EXIF orientation for raw pixels: transposition, left-right flip, up-down flip.
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
#: The inverse of each orientation that is not its own inverse.
_BACK = {6: 8, 8: 6}


def settle(path: Path, size: Size | None, *, objects: bool) -> tuple[Size, int]:
    """Return the image size to which the boxes refer, and the orientation by which they must be rotated.

    Args:
        path: The image file; if it has no EXIF orientation, only its header is read.
        size: The size in the annotation, or `None`.
        objects: True if the image has objects.

    Returns:
        The size, and 1 if the boxes fit the upright image, otherwise the EXIF orientation from 2 to 8.

    Raises:
        ValueError: If neither the annotation nor the file gives a size, or if a rotated image has the same size before
            and after the rotation.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (40, 30)).save(Path(folder) / "a.png")
        ...     settle(Path(folder) / "a.png", None, objects=True)
        ((30, 40), 1)
    """
    header = _header(path)
    if header is None:
        if size is None:
            raise ValueError(f"{path} cannot be read as an image, and its annotation gives no size.")
        return size, 1  # reading the image raises the error
    raw, upright, orientation = header
    if orientation == 1:
        return size or upright, 1
    if size is not None and (raw != upright or size != raw):
        # Any other size belongs to another image, for which an error is raised later.
        return size, orientation if size == raw else 1
    if not objects:
        return size or upright, 1
    raise ValueError(
        f"{path} is rotated by its EXIF data (orientation {orientation}), and "
        f"{'its annotation gives no size' if size is None else 'its size is the same before and after'}. So it is not "
        "known whether its boxes refer to the image before or after the rotation. Save the image without EXIF "
        "orientation, as it was when the boxes were drawn."
    )


def _header(path: Path) -> tuple[Size, Size, int] | None:
    """Return the size before and after the rotation, and the orientation; `None` if the file cannot be read."""
    try:
        (width, height), orientation = stored_size(path)
    except (UnreadableImageError, OSError):
        return None
    return (height, width), turned_size((height, width), orientation), orientation


def turned_size(size: Size, orientation: int) -> Size:
    """Return the size after the rotation.

    Example:
        >>> turned_size((30, 40), 6)
        (40, 30)
    """
    return (size[1], size[0]) if _STEPS[orientation][0] else size


def turn_boxes(boxes: Tensor, size: Size, orientation: int) -> Tensor:
    """Rotate boxes `(N, 4)` (x1, y1, x2, y2) from raw pixels to the upright image, whose size is given.

    Example:
        >>> import torch
        >>> turn_boxes(torch.tensor([[0.0, 0.0, 2.0, 1.0]]), (4, 5), 3).tolist()
        [[3.0, 3.0, 5.0, 4.0]]
    """
    transposed, *flips = _STEPS[orientation]
    boxes = boxes[:, [1, 0, 3, 2]] if transposed else boxes
    for axis, end in ((0, size[1]), (1, size[0])):
        if flips[axis]:
            boxes = boxes.clone()
            boxes[:, [axis, axis + 2]] = end - boxes[:, [axis + 2, axis]]
    return boxes


def turn_boxes_back(boxes: Tensor, size: Size, orientation: int) -> Tensor:
    """Invert `turn_boxes`; the size is also that of the upright image.

    Example:
        >>> import torch
        >>> turn_boxes_back(torch.tensor([[3.0, 3.0, 5.0, 4.0]]), (4, 5), 3).tolist()
        [[0.0, 0.0, 2.0, 1.0]]
    """
    return turn_boxes(boxes, turned_size(size, orientation), _BACK.get(orientation, orientation))


def turn_maps(maps: Tensor, orientation: int) -> Tensor:
    """Rotate maps `(..., H, W)` from raw pixels to the upright image.

    Example:
        >>> turn_maps(torch.tensor([[1, 2]]), 3).tolist()
        [[2, 1]]
    """
    transposed, horizontal, vertical = _STEPS[orientation]
    maps = maps.transpose(-1, -2) if transposed else maps
    return torch.flip(maps, [axis for axis, flip in ((-1, horizontal), (-2, vertical)) if flip])


def turn_maps_back(maps: Tensor, orientation: int) -> Tensor:
    """Invert `turn_maps`.

    Example:
        >>> turn_maps_back(torch.tensor([[2, 1]]), 3).tolist()
        [[1, 2]]
    """
    return turn_maps(maps, _BACK.get(orientation, orientation))
