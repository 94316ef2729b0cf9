"""The handwritten digits included in scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from vig_pyg.classification.config import Augmentation
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.sources.registry import register_source
from vig_pyg.preprocess import Preprocessing


@register_source("digits", in_channels=1)
class DigitsData(ImageData):
    """1797 scans of handwritten digits with 8 x 8 pixels (UCI, included in scikit-learn); a quarter is for validation.

    The split is stratified and always the same; it does not depend on the seed of the training.

    Args:
        image_size: Side length in pixels to which the scans are enlarged.
        batch_size: Number of images in a step.
        num_workers: Number of data loading processes; 0 is fastest, because the data set is small.
        augmentation: Random changes of the training images; by default small affine changes and no flips.

    Example:
        >>> len(DigitsData().val_set)
        450
    """

    def __init__(
        self,
        *,
        image_size: int = 16,
        batch_size: int = 64,
        num_workers: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        scans, labels = load_digits(return_X_y=True)
        images = np.round(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        train, val = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=0)
        super().__init__(
            "digits",
            train=(list(images[train]), labels[train].tolist()),
            val=(list(images[val]), labels[val].tolist()),
            class_names=[str(i) for i in range(10)],
            preprocessing=Preprocessing(image_size=image_size, in_channels=1),
            augmentation=augmentation or Augmentation(affine=True, crop=None, flip=0),
            batch_size=batch_size,
            num_workers=num_workers,
        )
