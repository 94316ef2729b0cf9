"""Random changes of an image together with its mask.

Shapes: H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from vig_pyg.segmentation.config import Augmentation
from vig_pyg.segmentation.masks import IGNORED
from vig_pyg.segmentation.preprocess import Size

#: Gray value outside of an image, where labels are ignored.
GRAY = 127


def augment(
    augmentation: Augmentation, image: Tensor, labels: Tensor, *, size: Size, crop_size: Size
) -> tuple[Tensor, Tensor]:
    """Zoom, crop, flip and recolor an image and its mask, with torch's random generator.

    Args:
        image: The image as uint8 `(3, H, W)`.
        labels: The labels as uint8 `(H, W)`.
        size: Height and width to which the image is resized at a factor of 1.
        crop_size: Height and width of the result; a smaller image is padded.

    Shapes: the results are `(3, *crop_size)` and `crop_size`.

    Example:
        >>> pixels, labels = torch.zeros(3, 20, 30, dtype=torch.uint8), torch.ones(20, 30, dtype=torch.uint8)
        >>> [tuple(part.shape) for part in augment(Augmentation(), pixels, labels, size=(20, 30), crop_size=(16, 48))]
        [(3, 16, 48), (16, 48)]
    """
    low, high = augmentation.scale
    factor = low if low == high else float(torch.empty(()).uniform_(low, high))
    target = [max(1, round(side * factor)) for side in size]
    fill = {tv_tensors.Image: GRAY, tv_tensors.Mask: IGNORED}
    steps: list[v2.Transform] = []
    if target != [image.size(1), image.size(2)]:
        # V2 resizes masks by the nearest label, so no new labels appear.
        steps.append(v2.Resize(target, antialias=True))
    steps.append(v2.RandomCrop(list(crop_size), pad_if_needed=True, fill=fill))
    steps += [v2.RandomHorizontalFlip()] if "h" in augmentation.flip else []
    steps += [v2.RandomVerticalFlip()] if "v" in augmentation.flip else []
    if c := augmentation.color:
        steps.append(v2.ColorJitter(brightness=c, contrast=c, saturation=c))
    changed, mask = v2.Compose(steps)(tv_tensors.Image(image), tv_tensors.Mask(labels))
    return changed.as_subclass(Tensor), mask.as_subclass(Tensor)
