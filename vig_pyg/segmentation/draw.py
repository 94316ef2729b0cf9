"""Drawing of labels over an image, with a legend, and the colors of the classes.

Shapes: H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import draw_segmentation_masks

from vig_pyg._fonts import PictureFonts, picture_names
from vig_pyg._palette import class_colors as palette_colors
from vig_pyg.segmentation.masks import IGNORED

Color = tuple[int, int, int]
#: Height of the legend's lines in pixels.
_LINE = 16
#: The background, or the most frequent class of most data.
_FIRST = (96, 96, 96)


def class_colors(count: int) -> list[Color]:
    """Return a color for each class: dark gray for class 0, and then the colors of all figures.

    The color of a class does not depend on the number of classes. Color-blind people can tell the first seven apart.

    Args:
        count: Number of classes.

    Example:
        >>> class_colors(3)
        [(96, 96, 96), (0, 114, 178), (213, 94, 0)]
    """
    others = [color for color in palette_colors(count) if color != _FIRST]
    return [_FIRST, *others][:count]


def to_palette_image(labels: Tensor) -> Image.Image:
    """Return labels as an image of bytes with a palette, which is both a mask for training and a readable image.

    Args:
        labels: The labels `(H, W)` of uint8.

    Shapes: `(H, W)`.

    Example:
        >>> to_palette_image(torch.zeros(2, 3, dtype=torch.uint8)).mode
        'P'
    """
    image = Image.fromarray(labels.numpy())
    colors = [*class_colors(IGNORED), (255, 255, 255)]
    image.putpalette(np.array(colors, dtype=np.uint8).tobytes())
    return image


def draw_labels(image: Tensor, labels: Tensor, class_names: Sequence[str], *, opacity: float = 0.6) -> Image.Image:
    """Draw labels over an image, and below it a legend of the classes that occur, the most frequent first.

    Args:
        image: The image as uint8 `(3, H, W)`.
        labels: The labels `(H, W)`, 255 where ignored.
        class_names: Names of the classes; a class whose name no installed font can show is drawn as its number, with a
            warning.
        opacity: Opacity of the colors, from 0 to 1.

    Shapes: an image `(3, H, W)` and labels `(H, W)`.

    Example:
        >>> pixels, labels = torch.zeros(3, 40, 90, dtype=torch.uint8), torch.zeros(40, 90, dtype=torch.uint8)
        >>> draw_labels(pixels, labels, ["sky"]).size
        (90, 56)
    """
    counts = torch.bincount(labels.flatten().long(), minlength=len(class_names))[: len(class_names)]
    shown = [int(i) for i in counts.argsort(descending=True, stable=True) if counts[i]]
    colors = class_colors(len(class_names))
    drawn = image
    if shown:
        masks = torch.stack([labels == i for i in shown])
        drawn = draw_segmentation_masks(image, masks, alpha=opacity, colors=[colors[i] for i in shown])
    picture = v2.functional.to_pil_image(drawn)
    names = picture_names(class_names)
    entries = [(names[i], colors[i]) for i in shown]
    return _with_legend(picture, entries)


def _with_legend(picture: Image.Image, entries: list[tuple[str, Color]]) -> Image.Image:
    """Return the image with a legend below it, which has as many lines as its width requires."""
    fonts = PictureFonts([name for name, _ in entries], size=11)
    width = picture.width
    places: list[tuple[int, int]] = []
    x, line = 2, 0
    for name, _ in entries:
        needed = round(fonts.length(name)) + 22
        if x > 2 and x + needed > width:
            x, line = 2, line + 1
        places.append((x, line))
        x += needed
    height = picture.height + _LINE * (line + 1 if entries else 0)
    result = Image.new("RGB", (width, height), "white")
    result.paste(picture, (0, 0))
    pen = ImageDraw.Draw(result)
    for (name, color), (left, row) in zip(entries, places, strict=True):
        top = picture.height + row * _LINE + 3
        pen.rectangle((left, top, left + 9, top + 9), fill=color, outline="black")
        fonts.write(pen, (left + 13, top - 2), name, "black")
    return result
