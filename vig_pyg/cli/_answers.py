"""What a model of each task finds in an image, as lines of text and as a drawing, for the HTML page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vig_pyg._io.text import terminal_text

if TYPE_CHECKING:
    from torch import Tensor

    from vig_pyg.preprocess import DecodedImage

#: Lines of text and, except for classifiers, the colors of their classes in a drawing, and the drawing in the pixels of
#: the page's image, or a multiple of them.
Answer = tuple[list[str], list[tuple[int, int, int]], "Tensor | None"]
#: Lines of an answer.
_LINES = 8


def of_classifier(classifier: Any, image: DecodedImage) -> Answer:
    """Return the most probable classes."""
    found = classifier(image)
    lines = [f"{_name(name)}: {share:.1%}" for name, share in zip(found.names, found.probabilities, strict=True)]
    return lines, [], None


def of_detector(detector: Any, image: DecodedImage, shape: tuple[int, ...]) -> Answer:
    """Return the number of objects of each class, and the image with them; a small one is enlarged for the names."""
    from vig_pyg._palette import class_colors
    from vig_pyg.detection.draw import draw
    from vig_pyg.detection.pixels import as_pixels
    from vig_pyg.image_io import drawing_scale

    pixels, found = as_pixels(image), detector(image)
    labels = Counter(found["labels"].tolist())
    best = {label: max(found["scores"][found["labels"] == label].tolist()) for label in labels}
    lines = [
        f"{_name(detector.class_names[label - 1])}: {count} (highest score {best[label]:.2f})"
        for label, count in labels.most_common(_LINES)
    ]
    resized = detector.model.transform([pixels / 255])[0].image_sizes[0]
    found = {key: value.cpu() for key, value in found.items()}
    drawn = draw(pixels, found, detector.class_names, enlarged=True)
    palette = class_colors(len(detector.class_names))
    colors = [palette[label - 1] for label, _ in labels.most_common(_LINES)]
    fitted = _fitted(drawn, resized, shape, scale=drawing_scale(*shape))
    return lines or ["no object above a score of 0.5"], colors, fitted


def of_segmenter(segmenter: Any, image: DecodedImage, shape: tuple[int, ...]) -> Answer:
    """Return the share of each class, and the image in the colors of the classes."""
    import torch

    from vig_pyg.detection.pixels import as_pixels
    from vig_pyg.segmentation.draw import color_areas

    pixels, labels = as_pixels(image), segmenter(image)["labels"].long()
    counts = torch.bincount(labels.flatten(), minlength=len(segmenter.class_names))
    shown = [i for i in counts.argsort(descending=True).tolist() if counts[i]]
    lines = [f"{_name(segmenter.class_names[i])}: {float(counts[i]) / labels.numel():.1%}" for i in shown[:_LINES]]
    drawn, colors = color_areas(pixels, labels, segmenter.class_names)
    return lines, [colors[i] for i in shown[:_LINES]], _fitted(drawn, shape, shape)


def _name(name: str) -> str:
    return terminal_text(name, limit=60)


def _fitted(drawn: Tensor, size: tuple[int, ...], shape: tuple[int, ...], *, scale: int = 1) -> Tensor:
    """Resize a drawing `(3, H, W)` of bytes to pixels in [0, 1] of `scale * size`, and pad it to `scale * shape`."""
    from torch.nn.functional import interpolate, pad

    height, width = (scale * side for side in size)
    resized = interpolate(drawn[None] / 255, size=(height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return pad(resized, (0, scale * shape[1] - width, 0, scale * shape[0] - height))
