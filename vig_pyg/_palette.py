"""The colors of all figures and pages, which color-blind people can tell apart.

Lines and bars have the colors of Okabe and Ito (Color Universal Design, 2008). Some of these differ in brightness
alone, which changes where they cover an image. Classes therefore have other colors after the first two, each of which
can be told apart the best from all before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np

from vig_pyg._color_vision import area_distances, as_seen

BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
YELLOW = "#e69f00"
SKY = "#56b4e9"
PINK = "#cc79a7"
GRAY = "#5f6368"
BLACK = "#000000"

#: The order for lines and bars.
SERIES = (BLUE, ORANGE, GREEN, YELLOW, SKY, PINK, GRAY, BLACK)
#: The background, or the most frequent class of most data, of the areas of an image.
BACKGROUND = (72, 72, 72)
#: Opacity of the colors of classes over an image.
COVER = 0.6
#: Number of colors of classes, and the grays over which they must differ.
_MOST, _GRAYS = 255, (72, 128, 184)
#: The object that a figure is about; it needs a dark outline on bright images and a bright one on dark images.
MARK = ORANGE
#: A colormap of matplotlib that goes from dark to bright, also when it is printed in gray, and the part of it that is
#: dark enough for lines on white.
ORDERED, DARK_PART = "viridis", 0.75
#: A colormap of matplotlib for two signs, blue and red, with white for 0.
SIGNED = "RdBu_r"


def rgb(color: str) -> tuple[int, int, int]:
    """Return a color such as `"#0072b2"` as bytes."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def text_color(background: tuple[int, int, int]) -> str:
    """Return `"black"` or `"white"`, whichever has the larger contrast to a background (WCAG 2.2, at least 4.58)."""
    return "black" if (_luminance(background) + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _luminance(color: tuple[int, int, int]) -> float:
    """Return the relative luminance of a color in sRGB, from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def class_colors(count: int) -> list[tuple[int, int, int]]:
    """Return a different color for each class; the color of a class does not depend on the number of classes."""
    return list(_sequence()[:count])


def blended(color: tuple[int, int, int], opacity: float = COVER, *, over: int = 128) -> tuple[int, int, int]:
    """Return a color as it looks over gray.

    Args:
        color: Red, green and blue as bytes.
        opacity: Opacity of the color, from 0 to 1.
        over: Brightness of the gray, from 0 to 255; by default that in the middle, which stands for any image.
    """
    red, green, blue = (round(opacity * part + (1 - opacity) * over) for part in color)
    return red, green, blue


def as_areas(colors: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Return colors as they look over dark, middle and bright gray (see `vig_pyg._color_vision.area_distances`).

    Args:
        colors: N colors.

    Shapes: `(N, 3)` to `(N, 3, 4, 3)`.
    """
    return np.stack([as_seen([blended(color, over=gray) for color in colors]) for gray in _GRAYS], axis=1)


@cache
def _sequence() -> list[tuple[int, int, int]]:
    """Return 255 colors, each of which can be told apart the best from `BACKGROUND` and all before it."""
    colors = [rgb(BLUE), rgb(ORANGE)]
    levels = np.linspace(0, 255, 9).round().astype(int).tolist()
    candidates = np.array(list(itertools.product(levels, repeat=3)))
    light, *hue = as_seen(candidates)[:, 0].T
    # neither nearly black, nor nearly white, nor gray, as if there were no color over the image
    usable = candidates[(light > 20) & (light < 92) & (np.hypot(*hue) > 25)]
    areas = as_areas(usable.tolist())
    nearest = area_distances(areas, as_areas([BACKGROUND, *colors])).min(1)
    while len(colors) < _MOST:
        best = int(nearest.argmax())
        red, green, blue = usable[best].tolist()
        colors.append((red, green, blue))
        nearest = np.minimum(nearest, area_distances(areas, areas[best : best + 1])[:, 0])
    return colors
