"""Prediction of the classes of image files."""

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
        path: The file, or the name of an image that is stored in another file.
        reason: The reason, without the file name.

    Example:
        >>> print(UnreadableImage(Path("some.jpg"), "the file is empty").reason)
        the file is empty
    """

    path: Path | str
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
    """Yield the predictions for image files, in order, as soon as they are computed.

    Args:
        classifier: The classifier.
        paths: The files.
        topk: Number of classes for each image; all classes if there are fewer.
        batch_size: Number of images in a batch.
        num_workers: Number of processes that read and preprocess images.
        device: Device on which the model runs.

    Raises:
        ValueError: If `topk` or `batch_size` is below 1, or `num_workers` below 0.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from vig_pyg import vig_micro
        >>> from vig_pyg.preprocess import Preprocessing
        >>> network, names = vig_micro(num_classes=2), ["cat", "dog"]
        >>> look = Preprocessing(image_size=32)
        >>> model = ImageClassifier(name="mine", model=network, class_names=names, preprocessing=look)
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "cat.png"
        ...     Image.new("RGB", (40, 32)).save(path)
        ...     [len(found.names) for found in predict(model, [path])]
        [2]
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
