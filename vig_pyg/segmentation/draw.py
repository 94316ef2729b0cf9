"""Drawing of labels over an image, with a legend.

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
from vig_pyg._palette import COVER, blended
from vig_pyg.image_io import drawing_scale, enlarge
from vig_pyg.segmentation.colors import Color, class_colors, colors_apart, colors_of, has_background
from vig_pyg.segmentation.masks import IGNORED

#: Height of the legend's lines in pixels, for images whose short side is at most `_SIDE` pixels, and that are no wider
#: than `_LONGEST` pixels.
_LINE, _SIDE, _LONGEST = 16, 360, 1200
#: The legend of an enlarged image is at least this wide in pixels: names below a narrow image stay readable.
_WIDTH = 360


def to_palette_image(labels: Tensor, class_names: Sequence[str] = ()) -> Image.Image:
    """Return labels as an image of bytes with a palette, which is both a mask for training and a readable image.

    Args:
        labels: The labels `(H, W)` of uint8.
        class_names: Names of the classes; those of Pascal VOC and Cityscapes have their published colors.

    Shapes: `(H, W)`.

    Example:
        >>> to_palette_image(torch.zeros(2, 3, dtype=torch.uint8)).mode
        'P'
    """
    image = Image.fromarray(labels.numpy())
    colors = colors_of(class_names)
    rest = class_colors(IGNORED, background=has_background(class_names))[len(colors) :]
    colors += [*rest, (255, 255, 255)]
    image.putpalette(np.array(colors, dtype=np.uint8).tobytes())
    return image


def draw_labels(
    image: Tensor, labels: Tensor, class_names: Sequence[str], *, opacity: float = COVER, enlarged: bool = False
) -> Image.Image:
    """Draw labels over an image, and below it a legend of the classes that occur, the most frequent first.

    The legend grows with the image. Its colors are those of the areas as they look over a gray that is as bright as the
    image there. A name that is wider than the image is shortened.

    Args:
        image: The image as uint8 `(3, H, W)`.
        labels: The labels `(H, W)`, 255 where ignored.
        class_names: Names of the classes; a class whose name no installed font can show is drawn as its number, with a
            warning. Colors that cannot be told apart are replaced (see `vig_pyg.segmentation.colors.colors_apart`).
        enlarged: If true, a small image is enlarged by a whole factor first (see `vig_pyg.image_io.drawing_scale`), and
            the legend below a narrow one is wider than it.

    Shapes: an image `(3, H, W)` and labels `(H, W)`.

    Example:
        >>> pixels, labels = torch.zeros(3, 40, 90, dtype=torch.uint8), torch.zeros(40, 90, dtype=torch.uint8)
        >>> draw_labels(pixels, labels, ["sky"]).size
        (90, 56)
    """
    scale = drawing_scale(*labels.shape) if enlarged else 1
    drawn, colors = color_areas(enlarge(image, scale), enlarge(labels, scale), class_names, opacity=opacity)
    names = picture_names(class_names)
    entries = [(names[i], color) for i, color in colors.items()]
    return _with_legend(v2.functional.to_pil_image(drawn), entries, least=_WIDTH if enlarged else 0)


def color_areas(
    image: Tensor, labels: Tensor, class_names: Sequence[str], *, opacity: float = COVER
) -> tuple[Tensor, dict[int, Color]]:
    """Draw the areas of the classes over an image, without a legend.

    Args:
        image: The image as uint8 `(3, H, W)`.
        labels: The labels `(H, W)`, 255 where ignored.
        opacity: Opacity of the colors, from 0 to 1.

    Shapes: an image `(3, H, W)` and labels `(H, W)`.

    Returns:
        The drawing, and for the classes that occur, the most frequent first, the color of their areas as it looks over
        a gray that is as bright as the image there.

    Example:
        >>> pixels, labels = torch.zeros(3, 4, 9, dtype=torch.uint8), torch.zeros(4, 9, dtype=torch.uint8)
        >>> color_areas(pixels, labels, ["background"])[1]
        {0: (43, 43, 43)}
    """
    counts = torch.bincount(labels.flatten().long(), minlength=len(class_names))[: len(class_names)]
    shown = [int(i) for i in counts.argsort(descending=True, stable=True) if counts[i]]
    if not shown:
        return image, {}
    colors = colors_apart(class_names, shown)
    masks = torch.stack([labels == i for i in shown])
    light = v2.functional.rgb_to_grayscale(image)[0].float()
    seen = {
        i: blended(color, opacity, over=int(light[mask].mean()))
        for (i, color), mask in zip(colors.items(), masks, strict=True)
    }
    return draw_segmentation_masks(image, masks, alpha=opacity, colors=list(colors.values())), seen


def _with_legend(picture: Image.Image, entries: list[tuple[str, Color]], *, least: int) -> Image.Image:
    """Return the image with a legend below it, which has as many lines as its width requires."""
    if not entries:
        return picture
    scale = max(1.0, min(picture.size) / _SIDE, picture.width / _LONGEST)
    side, before, after, line_height = (round(pixels * scale) for pixels in (10, 3, 7, _LINE))
    fonts = PictureFonts([*(name for name, _ in entries), "…"], size=round(11 * scale))
    width = max(picture.width, least)
    names = [fonts.fitted(name, width - side - before - round(2 * scale)) for name, _ in entries]
    places: list[tuple[int, int]] = []
    start = x = round(2 * scale)
    line = 0
    for name in names:
        needed = side + before + round(fonts.length(name))
        if places and x + needed > width:
            x, line = start, line + 1
        places.append((x, line))
        x += needed + after + round(2 * scale)
    result = Image.new("RGB", (width, picture.height + line_height * (line + 1)), "white")
    result.paste(picture, (0, 0))
    pen = ImageDraw.Draw(result)
    border = max(1, round(scale))
    for name, (_, color), (left, row) in zip(names, entries, places, strict=True):
        top = picture.height + row * line_height + before
        pen.rectangle((left, top, left + side - 1, top + side - 1), fill=color, outline="black", width=border)
        fonts.write(pen, (left + side + before, top - round(2 * scale)), name, "black")
    return result
