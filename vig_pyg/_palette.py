"""The colors of all figures and pages, which color-blind people can tell apart.

The hues are those of Okabe and Ito (Color Universal Design, 2008). More than six classes need lighter and darker shades
of them; no palette has many more colors that everybody can tell apart.
"""

from __future__ import annotations

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
#: Colors of `SERIES` that are not gray.
_HUES = 6
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
    """Return `"black"` or `"white"`, whichever has the larger contrast to a background (WCAG 2.2, at least 4.58).

    Args:
        background: Red, green and blue as bytes.
    """
    return "black" if (_luminance(background) + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _luminance(color: tuple[int, int, int]) -> float:
    """Return the relative luminance of a color in sRGB, from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def class_colors(count: int) -> list[tuple[int, int, int]]:
    """Return a different color for each class; the color of a class does not depend on the number of classes.

    Args:
        count: Number of classes, at most 255.
    """
    colors: list[tuple[int, int, int]] = []
    for number in range(count):
        turn, place = divmod(number, _HUES)
        red, green, blue = rgb(SERIES[place])
        shade = _shade(turn)
        light, share = (255 if shade > 0 else 0), abs(shade)
        colors.append((_mixed(red, light, share), _mixed(green, light, share), _mixed(blue, light, share)))
    return colors


def _shade(turn: int) -> float:
    """Return the share of white (positive) or black (negative) that is mixed into the hues in a round, up to 0.75."""
    if turn == 0:
        return 0.0
    part, step, number = 0.0, 0.5, (turn + 1) // 2
    while number:  # the van der Corput sequence: 1/2, 1/4, 3/4, 1/8, ...
        part, step, number = part + step * (number % 2), step / 2, number // 2
    return 0.75 * part * (1 if turn % 2 else -1)


def _mixed(value: int, light: int, share: float) -> int:
    return round(value + (light - value) * share)
