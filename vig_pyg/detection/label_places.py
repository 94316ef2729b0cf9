"""Places of the labels of boxes: inside the image, and apart from each other where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Largest number of rows that are tried inside of a box.
_ROWS = 64


def label_places(
    boxes: Sequence[Sequence[float]], sizes: Sequence[tuple[int, int]], canvas: tuple[int, int]
) -> list[tuple[int, int] | None]:
    """Return the left and upper end of each label in pixels, or `None` for a label that is larger than the image.

    A label is placed above its box, at a corner inside or outside of it, or further down along it: at the first of
    these places that no earlier label covers, or at the place that is covered the least.

    Args:
        boxes: Left, upper, right and lower end of each box, the most important box first.
        sizes: Width and height of each label; 0 for a label without text.
        canvas: Width and height of the image.

    Example:
        >>> label_places([[10, 30, 60, 80], [10, 30, 60, 80]], [(40, 12), (40, 12)], (100, 100))
        [(10, 18), (10, 30)]
    """
    taken = np.empty((0, 4), dtype=np.int64)
    found: list[tuple[int, int] | None] = []
    for box, (width, height) in zip(boxes, sizes, strict=True):
        if not (0 < width <= canvas[0] and 0 < height <= canvas[1]):
            found.append(None)
            continue
        corners = _candidates(box, width, height, canvas)  # (C, 2)
        areas = np.hstack([corners, corners + np.array([width, height])])  # (C, 4)
        best = areas[_covered(areas, taken).argmin()]  # the first of the least covered ones
        taken = np.concatenate([taken, best[None]])
        found.append((int(best[0]), int(best[1])))
    return found


def _candidates(box: Sequence[float], width: int, height: int, canvas: tuple[int, int]) -> np.ndarray:
    """Return places (left, top) `(C, 2)` inside of the image, the preferred ones first."""
    left, top, right, bottom = np.clip(np.rint(box), 0, np.array([*canvas, *canvas])).astype(np.int64).tolist()
    outside = [(left, top - height), (left, bottom), (right - width, top - height), (right - width, bottom)]
    inside = [(left, top), (right - width, top), (left, bottom - height), (right - width, bottom - height)]
    beside = [(right, top), (left - width, top), (right, bottom - height), (left - width, bottom - height)]
    rows = range(top + height, bottom - height, max(height, (bottom - top) // _ROWS))
    along = [(x, y) for y in rows for x in (left, right - width, right, left - width)]
    places = np.array([outside[0], inside[0], *outside[1:], *inside[1:], *beside, *along])
    return np.clip(places, 0, (canvas[0] - width, canvas[1] - height))


def _covered(areas: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Return the number of pixels of each area `(C, 4)` that the taken ones `(N, 4)` cover, `(C,)`."""
    first = np.maximum(areas[:, None, :2], taken[None, :, :2])  # (C, N, 2)
    last = np.minimum(areas[:, None, 2:], taken[None, :, 2:])
    return (last - first).clip(0).prod(2).sum(1)
