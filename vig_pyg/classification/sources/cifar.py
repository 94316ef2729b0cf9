"""CIFAR-10 and CIFAR-100, through torchvision."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from vig_pyg.classification.config import Augmentation
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.readers.torch_sets import load_torch
from vig_pyg.classification.sources.registry import register_source
from vig_pyg.preprocess import Preprocessing


class CifarData(ImageData):
    """CIFAR-10 or CIFAR-100 from torchvision: 50,000 training and 10,000 validation images of 32 x 32 pixels.

    Args:
        classes: 10 or 100.
        root: Folder of the files; if they are missing, they are downloaded (170 MB).
        image_size: Side length of the images in pixels.
        batch_size: Number of images in a step.
        num_workers: Number of data loading processes.
        augmentation: Random changes of the training images.

    Raises:
        ValueError: If `classes` is neither 10 nor 100.
        ConnectionError: If the files are missing and cannot be downloaded.

    Example:
        >>> data = CifarData(10, "data")  # doctest: +SKIP
        >>> len(data.train_set)  # doctest: +SKIP
        50000
    """

    def __init__(
        self,
        classes: int,
        root: str | Path = "data",
        *,
        image_size: int = 32,
        batch_size: int = 128,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
    ) -> None:
        if classes not in (10, 100):
            raise ValueError(f"classes must be 10 or 100, got {classes}.")
        train, val = (load_torch(f"cifar{classes}", part, root) for part in ("train", "validation"))
        super().__init__(
            f"cifar{classes}",
            train=(list(train.data), list(train.targets)),
            val=(list(val.data), list(val.targets)),
            class_names=list(train.classes),
            preprocessing=Preprocessing(image_size=image_size),
            augmentation=augmentation or Augmentation(),
            batch_size=batch_size,
            num_workers=num_workers,
        )


register_source("cifar10", in_channels=3)(partial(CifarData, 10))
register_source("cifar100", in_channels=3)(partial(CifarData, 100))
