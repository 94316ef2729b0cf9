"""Pasting of objects from one training image into another.

Shapes: N objects in an image of H x W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import masks_to_boxes

from vig_pyg.detection.augment import Sample
from vig_pyg.detection.transform import Target


def paste_objects(image: Tensor, target: Target, source: Tensor, objects: Target) -> Sample:
    """Paste a random half of the objects of another image, as Simple Copy-Paste does (arXiv 2012.07177).

    The other image is moved by a random distance, so that one image lies within the other in each direction. Objects
    that are covered completely are omitted, and those that are covered in part get the box of what is still visible.
    The borders of the pasted objects are not blended, because that did not change the result of the paper.

    Args:
        image: The image as uint8 `(3, H, W)`.
        target: Its `boxes (N, 4)`, `labels (N,)`, `masks (N, H, W)` and `image_id`.
        source: The other image, of any size.
        objects: The target of the other image.

    Shapes: images `(3, H, W)` and `(3, h, w)`, and the targets of each, to an image `(3, H, W)` and its target.

    Example:
        >>> empty = {"boxes": torch.zeros(0, 4), "labels": torch.ones(0), "masks": torch.zeros(0, 4, 4)}
        >>> paste_objects(torch.zeros(3, 4, 4), empty, torch.ones(3, 4, 4), empty)[1]["boxes"].shape
        torch.Size([0, 4])
    """
    chosen = torch.rand(len(objects["labels"])) < 0.5
    height, width = image.shape[1:]
    top, left = (_offset(side, other) for side, other in zip(image.shape[1:], source.shape[1:], strict=True))
    place = (left, width - source.size(2) - left, top, height - source.size(1) - top)  # negative padding crops
    pasted = _moved({key: values[chosen] for key, values in objects.items() if key != "image_id"}, place, left, top)
    covered = (pasted["masks"] > 0).any(0)  # (M, H, W) -> (H, W)
    image = torch.where(covered, F.pad(source, place), image)
    below = _uncovered(target, covered)
    return image, {**target, **{key: torch.cat([below[key], values]) for key, values in pasted.items()}}


def _offset(side: int, other: int) -> int:
    """Return a random position of the other image, so that the shorter image lies within the longer one."""
    low, high = min(0, side - other), max(0, side - other)
    return int(torch.randint(low, high + 1, ()))


def _moved(objects: Target, place: tuple[int, int, int, int], left: int, top: int) -> Target:
    """Return the objects at their new position; objects without a visible pixel or a box are omitted."""
    masks = F.pad(objects["masks"], place)
    height, width = masks.shape[1:]
    boxes = objects["boxes"] + objects["boxes"].new_tensor([left, top, left, top])
    boxes = torch.stack([boxes[:, i].clamp(0, (width, height)[i % 2]) for i in range(4)], 1)
    seen = (masks > 0).flatten(1).any(1) & ((boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1)  # (M, H, W) -> (M,)
    return {**{key: values[seen] for key, values in objects.items()}, "boxes": boxes[seen], "masks": masks[seen]}


def _uncovered(target: Target, covered: Tensor) -> Target:
    """Return the objects of an image that are not completely covered."""
    masks = target["masks"] * ~covered
    changed = (masks != target["masks"]).flatten(1).any(1)  # (N, H, W) -> (N,)
    gone = changed & ~(masks > 0).flatten(1).any(1)
    boxes, partly = target["boxes"].clone(), changed & ~gone
    if partly.any():
        # Converts pixel indices to box borders.
        boxes[partly] = masks_to_boxes(masks[partly]) + boxes.new_tensor([0, 0, 1, 1])
    found = {**target, "boxes": boxes, "masks": masks}
    return {key: values if key == "image_id" else values[~gone] for key, values in found.items()}
