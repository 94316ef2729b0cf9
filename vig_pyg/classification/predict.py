"""Classes of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vig_pyg.classification.batches import batches
from vig_pyg.classification.load import ImageClassifier, Prediction


@dataclass(frozen=True)
class UnreadableImage:
    """An image that could not be read.

    Args:
        path: The file.
        reason: The reason.
    """

    path: Path
    reason: str


def predict(
    classifier: ImageClassifier,
    paths: Sequence[Path],
    *,
    topk: int = 3,
    batch_size: int = 32,
    num_workers: int = 0,
    device: str = "cpu",
) -> Iterator[Prediction | UnreadableImage]:
    """Yield the classes of images, in their order, as they come.

    Args:
        classifier: The model.
        paths: The files.
        topk: Number of classes of each image; all of them if there are fewer.
        batch_size: Number of images that are computed at once.
        num_workers: Number of processes that read images.
        device: The device that computes.

    Raises:
        ValueError: If an option is too small.
    """
    if topk < 1:
        raise ValueError(f"topk must be at least 1, got {topk}.")
    model, names = classifier.model.to(device).eval(), classifier.class_names
    for batch in batches(paths, classifier.preprocessing, batch_size=batch_size, num_workers=num_workers):
        found: dict[int, Prediction | UnreadableImage] = {
            i: UnreadableImage(paths[i], why) for i, why in batch.broken.items()
        }
        if batch.images is not None:
            with torch.inference_mode():
                shares, classes = model(batch.images.to(device)).softmax(1).topk(min(topk, len(names)))
            for i, share, which in zip(batch.places, shares.tolist(), classes.tolist(), strict=True):
                found[i] = Prediction(paths[i], which, [names[c] for c in which], share)
        yield from (found[i] for i in sorted(found))
