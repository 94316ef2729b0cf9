import itertools
import random

import numpy as np
import pytest
import torch

from vig_pyg._color_vision import area_distances
from vig_pyg._palette import as_areas
from vig_pyg.segmentation.colors import class_colors, colors_apart, colors_of
from vig_pyg.segmentation.draw import to_palette_image
from vig_pyg.segmentation.sources.cityscapes import CITYSCAPES_CLASSES
from vig_pyg.segmentation.sources.voc import VOC_CLASSES


def test_colors_differ_and_do_not_depend_on_the_number_of_classes():
    colors = class_colors(255)
    assert len(set(colors)) == 255 and class_colors(20) == colors[:20]
    assert all(0 <= part <= 255 for color in colors for part in color)


def test_data_sets_keep_their_published_colors():
    voc = dict(zip(VOC_CLASSES, colors_of(VOC_CLASSES), strict=True))
    assert [voc[name] for name in ("background", "aeroplane", "bird", "chair", "person", "tvmonitor")] == [
        (0, 0, 0), (128, 0, 0), (128, 128, 0), (192, 0, 0), (192, 128, 128), (0, 64, 128),
    ]  # fmt: skip
    city = dict(zip(CITYSCAPES_CLASSES, colors_of(CITYSCAPES_CLASSES), strict=True))
    assert (city["road"], city["sky"], city["bicycle"]) == ((128, 64, 128), (70, 130, 180), (119, 11, 32))
    assert colors_apart(VOC_CLASSES, [15, 0]) == {15: voc["person"], 0: voc["background"]}
    assert colors_of(["background", "aeroplane"]) == class_colors(2)  # these are not the classes of VOC


def distance(colors):
    areas = as_areas(colors)
    found = area_distances(areas, areas)
    np.fill_diagonal(found, np.inf)
    return found.min()


@pytest.mark.parametrize("count", [1, 2, 11, 20])
def test_up_to_twenty_classes_always_have_their_own_color(count):
    names = [str(i) for i in range(count)]
    for shown in itertools.islice(itertools.combinations(range(count), min(count, 4)), 300):
        assert colors_apart(names, shown) == {i: class_colors(count, background=False)[i] for i in shown}


@pytest.mark.parametrize("seed", range(8))
def test_of_many_classes_those_that_occur_can_be_told_apart(seed):
    names = [str(i) for i in range(255)]
    shown = random.Random(seed).sample(range(255), 10)
    colors = colors_apart(names, shown)
    assert list(colors) == shown and len(set(colors.values())) == 10
    assert distance(list(colors.values())) > 10
    assert distance([class_colors(255, background=False)[i] for i in shown]) < 10  # their own colors could not
    assert colors[min(shown)] == class_colors(255, background=False)[min(shown)]


@pytest.mark.parametrize("name", ["background", "Background", "__background__", "void", "unlabeled"])
def test_gray_is_for_the_background_only(name):
    assert colors_of([name, "road"]) == class_colors(2) and colors_apart([name, "road"], [0])[0] == class_colors(1)[0]
    for first in ("sky", "Other vehicles", "back"):
        found = colors_of([first, "road"])
        assert found == class_colors(3)[1:] == list(colors_apart([first, "road"], [0, 1]).values())
    for names in ([name, "road"], ["sky", "road"], []):
        palette = np.array(to_palette_image(torch.zeros(2, 2, dtype=torch.uint8), names).getpalette()).reshape(-1, 3)
        assert len({tuple(color) for color in palette}) == 256


def test_all_classes_of_a_large_network_have_different_colors():
    names = [str(i) for i in range(255)]
    colors = colors_apart(names, range(255))
    assert len(set(colors.values())) == 255 and colors_apart(names, []) == {}
