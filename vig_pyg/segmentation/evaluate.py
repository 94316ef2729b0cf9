"""Evaluation of a trained segmentation network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from vig_pyg.detection.load import find_device
from vig_pyg.engine.faults import naming_all_faults
from vig_pyg.engine.read_batches import read_batches
from vig_pyg.segmentation.data import SegmentationSet, collate
from vig_pyg.segmentation.infer import Inference, label_maps
from vig_pyg.segmentation.load import SemanticSegmenter
from vig_pyg.segmentation.masks import IGNORED
from vig_pyg.segmentation.module import count_pixels
from vig_pyg.segmentation.records import SegmentationDataset
from vig_pyg.segmentation.sources import open_source

WHOLE = Inference()


def evaluate_segmenter(
    segmenter: SemanticSegmenter,
    source: str | Path | SegmentationDataset,
    *,
    how: Inference = WHOLE,
    batch_size: int = 1,
    num_workers: int = 2,
    device: str | torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> Tensor:
    """Compute the confusion matrix of the pixels for a segmentation network, at the size of the masks.

    Args:
        source: The images and masks, or their source (see `open_source`). Their classes are matched with those of the
            network by name. The box of an object whose outline cannot be used is not evaluated.
        batch_size: Number of images in a batch. One by default, because the images are whole and may be large.
        device: Device on which to run; by default a CUDA GPU if there is one, otherwise the CPU.
        progress: Function that is called after each batch with its number of images, for a progress bar.

    Shapes: the result is `(classes, classes)`.

    Returns:
        The confusion matrix of pixels, int64 `(classes, classes)` (see `scores_of`).

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If an image or a mask cannot be used, or has a class that the network does not have; the message
            names it.
    """
    labeled = source if isinstance(source, SegmentationDataset) else open_source(source, on_bad="drop")
    dataset = SegmentationSet(labeled.with_classes(segmenter.class_names), segmenter.preprocessing)
    batches = read_batches(dataset, batch_size, num_workers=num_workers, collate=collate)
    confusion = MulticlassConfusionMatrix(
        len(segmenter.class_names), ignore_index=IGNORED, validate_args=False, sync_on_compute=False
    )
    where = find_device(device)
    model, confusion = segmenter.model.to(where).eval(), confusion.to(where)
    with naming_all_faults(dataset.readable(), one="; correct or remove it", several="; correct or remove them"):
        for images, labels in batches:
            sizes = [(truth.size(0), truth.size(1)) for truth in labels]
            found = label_maps(model, [image.to(where) for image in images], sizes, how)
            for (_, one), truth in zip(found, labels, strict=True):
                count_pixels(confusion, one, truth)
            if progress is not None:
                progress(len(sizes))
    counts: Tensor = confusion.compute().long().cpu()
    return counts
