"""The images of the ablation scripts: a few of each class, if the command line says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from vig_pyg.classification import DigitsData, FolderData, ImageData
from vig_pyg.classification.dataset import ImageDataset


def load_data(settings: dict[str, Any], workers: int) -> ImageData:
    """The images of an ablation; the choice of `images_per_class` is the same for all variants and seeds."""
    options = {"image_size": settings["image_size"], "batch_size": settings["batch_size"]}
    data: ImageData
    if settings["data"] == "digits":
        data = DigitsData(**options)
    else:
        data = FolderData(settings["data"], num_workers=workers, **options)
    if settings["images_per_class"] is not None:
        data.train_set = _few(data.train_set, settings["images_per_class"])
    return data


def _few(images: ImageDataset, count: int) -> ImageDataset:
    labels, draw = np.array(images.labels), np.random.default_rng(0)
    rows = [draw.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)]
    kept = np.concatenate(rows)
    return ImageDataset([images.sources[i] for i in kept], labels[kept].tolist(), images.transform)
