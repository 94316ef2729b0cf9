"""torchvision's detectors, with detections that do not depend on the other images of a batch.

torchvision pads the feature maps of a batch to a common size. The convolutions of a head, and the selection of the
highest scores, then depend on the padding of an image. Training accepts this, as in torchvision. In evaluation, only
images of the same size are processed together, and maps are padded only to a multiple of the stride.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models import detection

from vig_pyg.detection.transform import DetectionTransform, Target


class SizeGroups(nn.Module):
    """Base class of detectors that evaluate the images of each size separately, in batches.

    Shapes: images `(C, H_i, W_i)` of any sizes.
    """

    transform: DetectionTransform

    def forward(self, images: list[Tensor], targets: list[Target] | None = None) -> Any:
        """Return the losses in training, otherwise the detections of each image.

        Args:
            images: One tensor `(C, H_i, W_i)` per image, in [0, 1].
        """
        # Torchvision raises an error if targets are missing.
        if self.training or any(image.dim() != 3 for image in images):
            return super().forward(images, targets)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            groups.setdefault(tuple(self.transform.output_size(image.size(1), image.size(2))), []).append(i)
        found: list[Any] = [None] * len(images)
        for places in groups.values():
            results = super().forward([images[i] for i in places], targets and [targets[i] for i in places])
            for i, result in zip(places, results, strict=True):
                found[i] = result
        return found


class RetinaNet(SizeGroups, detection.RetinaNet):
    """torchvision's RetinaNet."""


class FasterRCNN(SizeGroups, detection.FasterRCNN):
    """torchvision's Faster R-CNN."""


class MaskRCNN(SizeGroups, detection.MaskRCNN):
    """torchvision's Mask R-CNN."""
