"""Augmentation of training images with their boxes and masks, by torchvision's transforms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.transform import Target

Sample = tuple[Tensor, Target]


def augment(augmentation: Augmentation, image: Tensor, target: Target) -> Sample:
    """Augment a training image and its objects, with torch's random generator.

    Args:
        image: The image as uint8 `(3, H, W)`.
        target: The objects of the image; objects outside of the crop are omitted from the result.

    Shapes: `(3, H, W)` to `(3, H', W')`, boxes `(n, 4)`, masks `(n, H, W)` to `(n, H', W')`.

    Example:
        >>> from vig_pyg.detection.config import Augmentation
        >>> target = {"boxes": torch.tensor([[1.0, 1.0, 3.0, 3.0]]), "labels": torch.ones(1, dtype=torch.long)}
        >>> augment(Augmentation(flip="none"), torch.zeros(3, 4, 5, dtype=torch.uint8), target)[0].shape
        torch.Size([3, 4, 5])
    """
    size = (image.size(1), image.size(2))
    target = {**target, "boxes": tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=size)}
    if "masks" in target:
        target["masks"] = tv_tensors.Mask(target["masks"])
    image, target = _transform(augmentation, size)(tv_tensors.Image(image), target)
    target = {key: value.as_subclass(Tensor) for key, value in target.items()}
    seen = (target["boxes"][:, 2:] - target["boxes"][:, :2]).amin(1) >= 1
    return image.as_subclass(Tensor), {k: v[seen] if k != "image_id" else v for k, v in target.items()}


def _transform(augmentation: Augmentation, size: tuple[int, int]) -> v2.Compose:
    steps: list[Any] = []
    steps += [v2.RandomHorizontalFlip()] if "h" in augmentation.flip else []
    steps += [v2.RandomVerticalFlip()] if "v" in augmentation.flip else []
    if augmentation.jitter is not None:
        steps += _large_scale_jitter(augmentation.jitter, augmentation.jitter_size, size)
    elif augmentation.scale != (1.0, 1.0):
        factor = float(torch.empty(()).uniform_(*augmentation.scale))
        steps.append(v2.Resize([max(1, round(side * factor)) for side in size], antialias=True))
        steps.append(v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: 127, "others": 0}))
    if c := augmentation.color:
        steps.append(v2.ColorJitter(brightness=c, contrast=c, saturation=c))
    return v2.Compose([*steps, v2.ClampBoundingBoxes()])


def _large_scale_jitter(span: tuple[float, float], square: int, size: tuple[int, int]) -> list[Any]:
    """Return the steps that scale an image by a random factor, and crop it to at most the square."""
    factor = float(torch.empty(()).uniform_(*span)) * square / max(size)
    scaled = [max(1, round(side * factor)) for side in size]
    return [v2.Resize(scaled, antialias=True), v2.RandomCrop([min(side, square) for side in scaled])]
