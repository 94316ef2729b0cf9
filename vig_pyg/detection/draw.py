"""Drawing of detections: boxes, outlines, and labels that are readable on every image."""

from __future__ import annotations

from PIL import ImageDraw
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from vig_pyg._fonts import PictureFonts, picture_names
from vig_pyg._palette import class_colors, text_color
from vig_pyg.detection.coco_evaluator import MASK_THRESHOLD
from vig_pyg.detection.label_places import label_places
from vig_pyg.image_io import drawing_scale, enlarge

#: Largest share of an image that the names of its boxes may cover.
_NAMED = 0.3


def draw(image: Tensor, found: dict[str, Tensor], class_names: list[str], *, enlarged: bool = False) -> Tensor:
    """Draw boxes, outlines, names and scores on an image, uint8 `(3, H, W)`, with one color per class.

    Names and lines grow with the image. A name stands on the color of its class, inside the image, and apart from other
    names where there is room; a name that is wider than the image is shortened. Of boxes whose names would cover most
    of the image, only the most certain ones have a name.

    Args:
        class_names: Names of the classes; a class whose name no installed font can show is drawn as its number, from 0,
            with a warning.
        enlarged: If true, a small image is enlarged by a whole factor first (see `vig_pyg.image_io.drawing_scale`).

    Shapes: `(3, H, W)` to `(3, H, W)`, or with `enlarged` to `(3, n * H, n * W)`.

    Example:
        >>> import torch
        >>> boxes, labels = torch.tensor([[1.0, 1.0, 9.0, 9.0]]), torch.tensor([1])
        >>> found = {"boxes": boxes, "labels": labels, "scores": torch.ones(1)}
        >>> draw(torch.zeros(3, 20, 30, dtype=torch.uint8), found, ["cat"]).shape
        torch.Size([3, 20, 30])
    """
    scale = drawing_scale(*image.shape[1:]) if enlarged else 1
    image = enlarge(image, scale)
    if not len(found["boxes"]):
        return image
    order = found["scores"].argsort(stable=True)  # what is more certain is drawn over the rest
    boxes, labels, scores = (found[key][order] for key in ("boxes", "labels", "scores"))
    palette = class_colors(len(class_names))
    colors = [palette[label - 1] for label in labels.tolist()]
    if "masks" in found:
        masks = enlarge(found["masks"][order, 0] >= MASK_THRESHOLD, scale)
        image = draw_segmentation_masks(image, masks, alpha=0.5, colors=colors)
    boxes = boxes * scale
    names = picture_names(class_names)
    width = max(1, round(min(image.shape[1:]) / 240))
    drawn = draw_bounding_boxes(image, boxes, colors=colors, width=width)
    titles = [(names[label - 1], f"{score:.2f}") for label, score in zip(labels.tolist(), scores.tolist(), strict=True)]
    return _with_labels(drawn, boxes, titles, colors)


def _with_labels(
    image: Tensor, boxes: Tensor, titles: list[tuple[str, str]], colors: list[tuple[int, int, int]]
) -> Tensor:
    """Write names and scores; the last boxes are the most certain ones, and have the first choice of a place."""
    picture = v2.functional.to_pil_image(image)
    short, long = sorted(picture.size)
    size = max(10, round(short / 32), min(round(long / 100), short // 8))  # a long strip is seen from further away
    margin = max(1, size // 6)
    fonts = PictureFonts([part for title in titles for part in (*title, " …")], size=size)
    texts = [_title(fonts, name, score, picture.width - 2 * margin) for name, score in titles]
    sizes = [(round(fonts.length(text)) + 2 * margin, fonts.height + margin) if text else (0, 0) for text in texts]
    room = _NAMED * picture.width * picture.height
    for i in reversed(range(len(texts))):  # of very many boxes, only the most certain ones have names
        room -= sizes[i][0] * sizes[i][1]
        if room < 0 and i < len(texts) - 1:
            texts[i], sizes[i] = "", (0, 0)
    places = label_places(boxes.tolist()[::-1], sizes[::-1], picture.size)[::-1]
    pen = ImageDraw.Draw(picture)
    for text, place, (width, height), color in zip(texts, places, sizes, colors, strict=True):
        if place is not None:
            left, top = place
            pen.rectangle((left, top, left + width - 1, top + height - 1), fill=color)
            fonts.write(pen, (left + margin, top), text, text_color(color))
    return v2.functional.pil_to_tensor(picture)


def _title(fonts: PictureFonts, name: str, score: str, width: float) -> str:
    """Return a name and a score that fit into a width in pixels: a shorter name, the score alone, or nothing."""
    shown = fonts.fitted(name, width - fonts.length(f" {score}"))
    return next((text for text in (f"{shown} {score}" if shown else "", score) if 0 < fonts.length(text) <= width), "")
