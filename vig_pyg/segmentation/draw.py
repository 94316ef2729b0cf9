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
from vig_pyg.image_io import drawing_scale, enlarge
from vig_pyg.segmentation.masks import IGNORED

Color = tuple[int, int, int]
#: Height of the legend's lines in pixels, for images whose short side is below 540 pixels.
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


def draw_labels(
    image: Tensor, labels: Tensor, class_names: Sequence[str], *, opacity: float = 0.6, enlarged: bool = False
) -> Image.Image:
    """Draw labels over an image, and below it a legend of the classes that occur, the most frequent first.

    The legend grows with the image; a name that is wider than the image is shortened.

    Args:
        image: The image as uint8 `(3, H, W)`.
        labels: The labels `(H, W)`, 255 where ignored.
        class_names: Names of the classes; a class whose name no installed font can show is drawn as its number, with a
            warning.
        opacity: Opacity of the colors, from 0 to 1.
        enlarged: If true, a small image is enlarged by a whole factor first (see `vig_pyg.image_io.drawing_scale`).

    Shapes: an image `(3, H, W)` and labels `(H, W)`.

    Example:
        >>> pixels, labels = torch.zeros(3, 40, 90, dtype=torch.uint8), torch.zeros(40, 90, dtype=torch.uint8)
        >>> draw_labels(pixels, labels, ["sky"]).size
        (90, 56)
    """
    scale = drawing_scale(*labels.shape) if enlarged else 1
    image, labels = enlarge(image, scale), enlarge(labels, scale)
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
    scale = max(1, round(min(picture.size) / 360))
    fonts = PictureFonts([*(name for name, _ in entries), "…"], size=11 * scale)
    width = picture.width
    names = [fonts.fitted(name, width - 15 * scale) for name, _ in entries]
    places: list[tuple[int, int]] = []
    x, line = 2 * scale, 0
    for name in names:
        needed = round(fonts.length(name)) + 22 * scale
        if places and x + needed - 7 * scale > width:
            x, line = 2 * scale, line + 1
        places.append((x, line))
        x += needed
    height = picture.height + _LINE * scale * (line + 1 if entries else 0)
    result = Image.new("RGB", (width, height), "white")
    result.paste(picture, (0, 0))
    pen = ImageDraw.Draw(result)
    side = 10 * scale - 1
    for name, (_, color), (left, row) in zip(names, entries, places, strict=True):
        top = picture.height + (row * _LINE + 3) * scale
        pen.rectangle((left, top, left + side, top + side), fill=color, outline="black", width=scale)
        fonts.write(pen, (left + 13 * scale, top - 2 * scale), name, "black")
    return result
