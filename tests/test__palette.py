"""Simulated color blindness: the colors stay apart for each kind of it."""

import itertools

import pytest
import torch

from vig_pyg._palette import BLUE, SERIES, SKY, as_areas, blended, class_colors, rgb, text_color
from vig_pyg.segmentation.colors import class_colors as of_masks

#: Linear RGB to linear RGB as seen without one kind of cones (Machado, Oliveira, Fernandes, IEEE TVCG 2009).
KINDS = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(color, kind):
    """CIELAB coordinates of a color as somebody sees it."""
    c = torch.tensor(color, dtype=torch.float64) / 255
    linear = torch.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = (torch.tensor(KINDS[kind], dtype=torch.float64) @ linear).clamp(0, 1)
    xyz = torch.tensor(TO_XYZ, dtype=torch.float64) @ seen / torch.tensor([0.95047, 1, 1.08883], dtype=torch.float64)
    f = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colors, kind):
    """The smallest distance of two colors; 2.3 is just noticeable."""
    return min(float((lab(a, kind) - lab(b, kind)).norm()) for a, b in itertools.combinations(colors, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_colors_stay_apart(kind):
    assert nearest([rgb(color) for color in SERIES], kind) > 11
    assert nearest(class_colors(12), kind) > 20
    assert nearest(of_masks(13), kind) > 13


@pytest.mark.parametrize("kind", KINDS)
def test_areas_stay_apart_over_an_image(kind):
    """At the usual opacity, twice as far for normal vision; hues of Okabe and Ito are too near one another here."""
    least = 10 * (1 + (kind == "normal"))
    assert nearest([blended(color) for color in of_masks(20)], kind) > least
    assert nearest([blended(color) for color in of_masks(10)], kind) > 1.4 * least


def test_colors_do_not_differ_in_brightness_alone():
    """A dark part of an image under one color may not look like a bright part under another one."""

    def over(dark_and_bright, colors):
        pairs = itertools.permutations(colors, 2)
        dark, bright = dark_and_bright
        return min(nearest([blended(a, over=dark), blended(b, over=bright)], "normal") for a, b in pairs)

    assert over((72, 184), of_masks(20)) > 10
    assert over((72, 184), [rgb(BLUE), rgb(SKY)]) < 6  # these do


def test_colors_over_gray():
    assert blended((255, 0, 100), 1.0) == (255, 0, 100) and blended((255, 0, 100), 0.0) == (128, 128, 128)
    assert blended((255, 0, 100), over=50) == (173, 20, 80)


def test_the_measure_knows_a_bad_pair():
    """Red and green of the usual traffic light."""
    red, green = (214, 39, 40), (44, 160, 44)
    assert (
        nearest([red, green], "normal") > 100 and nearest([red, green], "deutan") < nearest([red, green], "normal") / 2
    )


@pytest.mark.parametrize("count", [0, 1, 6, 7, 80, 255])
def test_classes_have_different_colors_that_do_not_depend_on_their_number(count):
    colors = class_colors(count)
    assert len(set(colors)) == len(colors) == count and colors == class_colors(255)[:count]
    assert all(0 <= part <= 255 for color in colors for part in color)


@pytest.mark.parametrize("color", [*class_colors(255), *of_masks(255), (0, 0, 0), (255, 255, 255), (118, 118, 118)])
def test_text_on_each_color_is_readable(color):
    def luminance(shade):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in shade)]
        return sum(a * b for a, b in zip(TO_XYZ[1], linear, strict=True))

    text = {"black": 0.0, "white": 1.0}[text_color(color)]
    high, low = sorted((luminance(color), text), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_areas_are_seen_over_three_grays():
    areas = as_areas([(255, 0, 0), (0, 114, 178)])
    assert areas.shape == (2, 3, 4, 3)
    expected = lab(blended((0, 114, 178)), "deutan")
    assert torch.allclose(torch.from_numpy(areas[1, 1, 2]), expected, atol=1e-6)
