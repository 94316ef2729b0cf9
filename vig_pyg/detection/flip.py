"""Test-time flip: detections in an image and in its mirror image, merged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from vig_pyg.detection.transform import Target


def detect_with_flip(model: nn.Module, images: Sequence[Tensor]) -> list[Target]:
    """Detect objects in images and in their mirror images (left-right), and return both without duplicates.

    If boxes of one class overlap by more than the detector's threshold, the box with the highest score is kept, as
    within one image. The detection takes twice the time.

    Args:
        images: One tensor `(C, H_i, W_i)` per image, in [0, 1].

    Shapes: images `(C, H_i, W_i)` to `boxes (n, 4)`, `labels (n,)` and `scores (n,)` for each image.

    Example:
        >>> from vig_pyg.detection import retinanet_pvig
        >>> model = retinanet_pvig("micro", num_classes=3, min_size=64, max_size=96, out_channels=16).eval()
        >>> sorted(detect_with_flip(model, [torch.rand(3, 50, 70)])[0])
        ['boxes', 'labels', 'scores']
    """
    found, mirrored = model(list(images)), model([image.flip(-1) for image in images])
    options = getattr(model, "roi_heads", model)  # R-CNN models have their thresholds in `roi_heads`
    threshold, limit = getattr(options, "nms_thresh", 0.5), getattr(options, "detections_per_img", 100)
    return [
        _merged(first, _mirrored(second, image.size(-1)), threshold, limit)
        for first, second, image in zip(found, mirrored, images, strict=True)
    ]


def _mirrored(found: Target, width: int) -> Target:
    """Return the detections in a mirror image as detections in the image."""
    x1, y1, x2, y2 = found["boxes"].unbind(1)
    result = {**found, "boxes": torch.stack([width - x2, y1, width - x1, y2], 1)}
    return result | {key: masks.flip(-1) for key, masks in found.items() if key == "masks"}


def _merged(first: Target, second: Target, threshold: float, limit: int) -> Target:
    both = {key: torch.cat([values, second[key]]) for key, values in first.items()}
    kept = batched_nms(both["boxes"].float(), both["scores"].float(), both["labels"], threshold)[:limit]
    return {key: values[kept] for key, values in both.items()}
