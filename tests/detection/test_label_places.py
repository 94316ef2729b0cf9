import random

import pytest

from vig_pyg.detection.label_places import label_places


def overlap(a, b, size_a, size_b):
    wide = min(a[0] + size_a[0], b[0] + size_b[0]) - max(a[0], b[0])
    high = min(a[1] + size_a[1], b[1] + size_b[1]) - max(a[1], b[1])
    return max(wide, 0) * max(high, 0)


def scene(seed):
    """Boxes and labels in an image; some boxes reach or exceed its border."""
    draw = random.Random(seed)
    canvas = draw.randint(20, 700), draw.randint(20, 700)
    boxes = []
    for _ in range(draw.randint(1, 30)):
        x, y = draw.uniform(-5, canvas[0]), draw.uniform(-5, canvas[1])
        boxes.append([x, y, x + draw.expovariate(0.01), y + draw.expovariate(0.01)])
    sizes = [(draw.randint(1, 120), draw.randint(1, 20)) for _ in boxes]
    return boxes, sizes, canvas


@pytest.mark.parametrize("seed", range(60))
def test_labels_are_inside_of_the_image(seed):
    boxes, sizes, canvas = scene(seed)
    for place, (width, height) in zip(label_places(boxes, sizes, canvas), sizes, strict=True):
        if place is None:
            assert width > canvas[0] or height > canvas[1]
        else:
            assert 0 <= place[0] <= canvas[0] - width and 0 <= place[1] <= canvas[1] - height


@pytest.mark.parametrize("seed", range(20))
def test_a_label_touches_its_box(seed):
    boxes, sizes, canvas = scene(seed)
    for box, place, size in zip(boxes, label_places(boxes, sizes, canvas), sizes, strict=True):
        if place is not None and 0 <= box[0] <= box[2] <= canvas[0] and 0 <= box[1] <= box[3] <= canvas[1]:
            assert place[0] <= box[2] + 1 and place[0] + size[0] >= box[0] - 1
            assert place[1] <= box[3] + 1 and place[1] + size[1] >= box[1] - 1


def test_a_free_place_is_preferred():
    """Boxes on a grid with room for the labels: none covers another, wherever the border is."""
    for step, size in ((60, (50, 12)), (80, (70, 20)), (200, (150, 12))):
        boxes = [[x, y, x + step - 8, y + step - 8] for y in range(0, 600, step) for x in range(0, 600, step)]
        places = label_places(boxes, [size] * len(boxes), (620, 620))
        assert not any(overlap(a, b, size, size) for i, a in enumerate(places) for b in places[:i])


@pytest.mark.parametrize("count", [2, 5, 9])
def test_labels_of_equal_boxes_are_apart(count):
    size = (60, 12)
    places = label_places([[100, 100, 220, 200]] * count, [size] * count, (320, 300))
    assert places[0] == (100, 88)  # the most important one is above its box
    assert not any(overlap(a, b, size, size) for i, a in enumerate(places) for b in places[:i])


def test_in_a_crowd_the_least_covered_place_is_taken():
    places = label_places([[0, 0, 10, 10]] * 3, [(10, 8)] * 3, (12, 12))
    assert len(places) == 3 and None not in places
    assert label_places([], [], (5, 5)) == []
    assert label_places([[0, 0, 4, 4], [0, 0, 4, 4]], [(6, 2), (0, 0)], (5, 5)) == [None, None]
