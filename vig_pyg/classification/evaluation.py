"""Accuracy on labeled images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from vig_pyg._io.faults import none_readable
from vig_pyg.classification.batches import batches
from vig_pyg.classification.labels import LabeledImages
from vig_pyg.classification.load import ImageClassifier
from vig_pyg.classification.prediction import UnreadableImage


@dataclass(frozen=True)
class ClassResult:
    """The accuracy of a model on the images of one class.

    Args:
        images: Number of its images that could be read.
        top1: Percentage of these images for which this class had the highest probability.
        top5: Percentage of these images for which this class was among the five most probable ones, or `None` if the
            model has at most five classes.
    """

    index: int
    name: str
    images: int
    top1: float
    top5: float | None


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of a model on labeled images.

    Args:
        images: Number of images that could be read.
        top1: Percentage of these images whose class had the highest probability.
        top5: Percentage of these images whose class was among the five most probable ones, or `None` if the model has
            at most five classes, because every class is then among the five.
        per_class: The results of the classes that occur, in order.
        broken: Images that could not be read; they are not counted.
        images_per_second: Speed of the whole evaluation, including reading.
        model_images_per_second: Speed of the model alone.

    Example:
        >>> Evaluation(4, 75.0, 100.0, [ClassResult(0, "red", 4, 75.0, 100.0)], [], 9.0, 12.0).top1
        75.0
    """

    images: int
    top1: float
    top5: float | None
    per_class: list[ClassResult]
    broken: list[UnreadableImage]
    images_per_second: float
    model_images_per_second: float


def evaluate(
    classifier: ImageClassifier,
    data: LabeledImages,
    *,
    batch_size: int = 32,
    num_workers: int = 0,
    device: str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Compute the accuracy of a model on labeled images.

    Args:
        classifier: The model. It predicts any of its classes, even if the data contains only some of them.
        data: The images.
        batch_size: Number of images in a batch.
        num_workers: Number of processes that read and preprocess images.
        device: Device on which the model runs.
        progress: Function that is called after each batch with its number of images, for a progress bar.

    Raises:
        ValueError: If no image can be read.

    Example:
        >>> from pathlib import Path
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
        ...     evaluate(model, LabeledImages([path], [0])).images
        1
    """
    model = classifier.model.to(device).eval()
    count = len(classifier.class_names)
    totals = torch.zeros(3, count, dtype=torch.long)  # images, top-1 hits, top-5 hits
    labels = torch.tensor(data.labels)
    broken: list[UnreadableImage] = []
    start, busy = time.perf_counter(), 0.0
    for batch in batches(data.paths, classifier.preprocessing, batch_size=batch_size, num_workers=num_workers):
        for i, why in sorted(batch.broken.items()):
            source = data.paths[i]
            broken.append(UnreadableImage(source if isinstance(source, Path) else str(source), why))
        if batch.images is not None:
            before = time.perf_counter()
            with torch.inference_mode():
                likeliest = model(batch.images.to(device)).topk(min(5, count)).indices.cpu()  # synchronizes the device
            busy += time.perf_counter() - before
            truth = labels[batch.places]
            right = likeliest == truth[:, None]
            totals.index_add_(1, truth, torch.stack([torch.ones_like(truth), right[:, 0].long(), right.sum(1)]))
        if progress is not None:
            progress(len(batch.places) + len(batch.broken))
    images = int(totals[0].sum())
    if images == 0:
        raise ValueError(none_readable([f"{one.path}: {one.reason}" for one in broken]))
    shares = (100 * totals[1:].sum(1) / images).tolist()
    per_class = [
        ClassResult(i, classifier.class_names[i], n, 100 * right / n, 100 * five / n if count > 5 else None)
        for i, (n, right, five) in enumerate(totals.t().tolist())
        if n
    ]
    return Evaluation(
        images=images,
        top1=shares[0],
        top5=shares[1] if count > 5 else None,
        per_class=per_class,
        broken=broken,
        images_per_second=images / (time.perf_counter() - start),
        model_images_per_second=images / busy,
    )
