"""Scores of semantic segmentation, computed from a confusion matrix of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SegmentationScores:
    """The scores of a data set, from 0 to 1.

    Args:
        miou: Mean of the intersections over union of the classes that occur in the masks or in the predictions.
        pixel_accuracy: Share of the labeled pixels with the right class.
        mean_accuracy: Mean of the accuracies of the classes that occur in the masks.
        ious: Intersection over union of each class; NaN for a class that does not occur.

    Example:
        >>> import torch
        >>> scores_of(torch.tensor([[2, 0, 0], [1, 1, 0], [0, 0, 0]])).ious[:2]
        [0.6666666666666666, 0.5]
    """

    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    ious: list[float]

    def row(self, class_names: list[str]) -> dict[str, float]:
        """Return the scores by their names in `metrics.csv`, without classes that do not occur."""
        found = {
            "val_mIoU": self.miou,
            "val_pixel_accuracy": self.pixel_accuracy,
            "val_mean_accuracy": self.mean_accuracy,
        }
        ious = zip(class_names, self.ious, strict=True)
        return found | {f"val_IoU_{name}": iou for name, iou in ious if not math.isnan(iou)}


def scores_of(counts: Tensor) -> SegmentationScores:
    """Compute the scores from a confusion matrix.

    Args:
        counts: Number of pixels of class i that were predicted as class j, `(classes, classes)`.

    Shapes: `(classes, classes)`.

    Raises:
        ValueError: If no pixel was counted.

    Example:
        >>> import torch
        >>> scores_of(torch.tensor([[3, 1], [0, 4]])).pixel_accuracy
        0.875
    """
    counts = counts.double().cpu()
    if not counts.sum():
        raise ValueError("No pixel of these images has a class: all of their masks are ignored.")
    right, truth = counts.diag(), counts.sum(1)
    union = truth + counts.sum(0) - right
    ious = right / union  # NaN for classes that do not occur
    return SegmentationScores(
        miou=float(ious[union > 0].mean()),
        pixel_accuracy=float(right.sum() / counts.sum()),
        mean_accuracy=float((right / truth)[truth > 0].mean()),
        ious=ious.tolist(),
    )
