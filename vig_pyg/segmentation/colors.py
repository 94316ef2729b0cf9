"""The colors of classes: those that a data set publishes, or else colors that everybody can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

from vig_pyg._color_vision import area_distances
from vig_pyg._palette import BACKGROUND, as_areas
from vig_pyg._palette import class_colors as palette_colors
from vig_pyg.segmentation.masks import MAX_CLASSES
from vig_pyg.segmentation.sources.cityscapes import CITYSCAPES_CLASSES, CITYSCAPES_COLORS
from vig_pyg.segmentation.sources.voc import VOC_CLASSES, VOC_COLORS

Color = tuple[int, int, int]
#: The colors that data sets publish, by the names of their classes.
PUBLISHED: dict[tuple[str, ...], list[Color]] = {
    tuple(VOC_CLASSES): VOC_COLORS,
    tuple(CITYSCAPES_CLASSES): CITYSCAPES_COLORS,
}
#: Two areas of an image can be told apart by everybody from this distance on (see `vig_pyg._color_vision`); it is just
#: below the smallest distance of the first 20 colors.
_APART = 10.0
#: Names of a class that stands for everything else.
_BACKGROUNDS = frozenset({"background", "void", "unlabeled", "unlabelled", "other", "others", "none", "nothing"})


def class_colors(count: int, *, background: bool = True) -> list[Color]:
    """Return a color for each class: dark gray for the background, and then the colors of all figures.

    The color of a class does not depend on the number of classes. Color-blind people can tell the first 20 apart.

    Args:
        count: Number of classes, at most 255.
        background: If true, class 0 is the background.

    Example:
        >>> class_colors(3)
        [(72, 72, 72), (0, 114, 178), (213, 94, 0)]
    """
    return [*[BACKGROUND] * background, *palette_colors(MAX_CLASSES - background)][:count]


def colors_of(class_names: Sequence[str]) -> list[Color]:
    """Return the color of each class: the published one for the classes of Pascal VOC and Cityscapes.

    Class 0 is gray only if its name is that of a background, as gray over an image looks like no class.

    Args:
        class_names: Names of the classes, at most 255.

    Example:
        >>> colors_of(["background", "road"]), colors_of(["sky", "road"])
        ([(72, 72, 72), (0, 114, 178)], [(0, 114, 178), (213, 94, 0)])
    """
    published = list(PUBLISHED.get(tuple(class_names), []))
    return published or class_colors(len(class_names), background=has_background(class_names))


def has_background(class_names: Sequence[str]) -> bool:
    """True if class 0 has no name, or that of a background.

    Args:
        class_names: Names of the classes.

    Example:
        >>> has_background(["Background", "road"]), has_background(["sky", "road"])
        (True, False)
    """
    return not class_names or class_names[0].casefold().strip("_ ") in _BACKGROUNDS


def colors_apart(class_names: Sequence[str], shown: Sequence[int]) -> dict[int, Color]:
    """Return a color for each class that occurs in an image, so that all of them can be told apart.

    A class has its own color (see `colors_of`), unless this resembles the color of a class with a smaller number in the
    same image, which happens only with more than 20 classes. Then it has the color that can be told apart the best from
    these. Published colors are kept.

    Args:
        class_names: Names of all classes.
        shown: Numbers of the classes that occur.

    Example:
        >>> colors_apart(["sky", "road", "car"], [2, 0])
        {2: (0, 255, 159), 0: (0, 114, 178)}
    """
    own = colors_of(class_names)
    if tuple(class_names) in PUBLISHED or not shown:
        return {i: own[i] for i in shown}
    everything = class_colors(MAX_CLASSES, background=has_background(class_names))
    areas = as_areas(everything)
    chosen: dict[int, int] = {}  # the place of each class in the list of colors
    for i in sorted(shown):
        others = list(chosen.values())
        nearest = area_distances(areas, areas[others]).min(1) if others else None
        chosen[i] = i if nearest is None or nearest[i] >= _APART else int(nearest.argmax())
    return {i: everything[chosen[i]] for i in shown}
