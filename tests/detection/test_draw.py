import random

import numpy as np
import pytest
import torch

from tests._fonts.installed import only_own_fonts
from vig_pyg._palette import class_colors, text_color
from vig_pyg.detection import draw as module
from vig_pyg.detection.draw import draw

RED = {
    "boxes": torch.tensor([[10.0, 10.0, 50.0, 40.0]]),
    "labels": torch.tensor([1]),
    "scores": torch.tensor([0.9]),
    "masks": torch.zeros(1, 1, 60, 80),
}
RED["masks"][..., 20:30, 20:40] = 1


def without_masks(found):
    return {key: value for key, value in found.items() if key != "masks"}


def test_boxes_outlines_and_titles_are_drawn():
    image = torch.full((3, 60, 80), 100, dtype=torch.uint8)
    boxed = draw(image, without_masks(RED), ["red", "blue"])
    first, second = (torch.tensor(color, dtype=torch.uint8) for color in class_colors(2))
    assert (boxed[:, 10, 10:50] == first[:, None]).all()
    assert (boxed[:, 25, 30] == 100).all()
    outlined = draw(image, RED, ["red", "blue"])
    assert ((outlined[:, 25, 30] - (50 + first / 2)).abs() <= 1).all()
    assert torch.equal(outlined[:, 50:], image[:, 50:])
    nothing = {key: value[:0] for key, value in RED.items()}
    assert torch.equal(draw(image, nothing, ["red"]), image)
    other = draw(image, {**RED, "labels": torch.tensor([2])}, ["red", "blue"])
    assert (other[:, 10, 10:50] == second[:, None]).all()
    assert ((other[:, 25, 30] - (50 + second / 2)).abs() <= 1).all()


@pytest.mark.parametrize("light", [0, 90, 255])
@pytest.mark.parametrize("label", [1, 2, 4, 7, 20])
def test_names_are_readable_on_every_image(light, label):
    """The background of a name is its class's color, whatever the image is, and the letters are black or white."""
    image = torch.full((3, 200, 300), light, dtype=torch.uint8)
    found = {"boxes": torch.tensor([[50.0, 60, 250, 180]]), "labels": torch.tensor([label]), "scores": torch.ones(1)}
    names = [f"class {i}" for i in range(20)]
    drawn = draw(image, found, names)
    color = class_colors(20)[label - 1]
    plate = drawn[:, 49:59, 52:90].permute(1, 2, 0).reshape(-1, 3)
    assert (plate == torch.tensor(color)).all(1).float().mean() > 0.4
    letters = plate.float().mean(1)
    assert (letters.min() < 30) if text_color(color) == "black" else (letters.max() > 225)


def plates(monkeypatch, *args, **options):
    """The areas of the labels of a drawing, and the drawing."""
    seen, original = [], module.label_places

    def places(boxes, sizes, canvas):
        found = original(boxes, sizes, canvas)
        seen.extend((*place, *size) for place, size in zip(found, sizes, strict=True) if place is not None)
        return found

    monkeypatch.setattr(module, "label_places", places)
    return seen, draw(*args, **options)


@pytest.mark.parametrize("seed", range(12))
def test_names_of_any_boxes_are_inside_of_the_image(seed, monkeypatch):
    rng = random.Random(seed)
    height, width = rng.choice([(1, 1), (9, 300), (40, 30), (32, 32), (240, 320), (900, 700)])
    count = rng.randint(1, 8)
    corners = torch.tensor([[rng.uniform(0, width), rng.uniform(0, height)] for _ in range(2 * count)])
    low, high = corners.view(count, 2, 2).sort(1).values.unbind(1)
    labels = torch.tensor([rng.randint(1, 3) for _ in range(count)])
    found = {"boxes": torch.cat([low, high], 1), "labels": labels, "scores": torch.rand(count)}
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    names = ["a", "a name of some length", "n" * 60]
    seen, drawn = plates(monkeypatch, image, found, names)
    assert drawn.shape == image.shape
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in seen)
    seen.clear()
    larger = draw(image, found, names, enlarged=True)
    scale = larger.size(1) // height
    assert larger.shape == (3, scale * height, scale * width)
    assert height < 30 or len(seen) == count  # there is room for each name


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_names_and_lines_grow_with_the_image(scale, monkeypatch):
    image = torch.zeros(3, 240 * scale, 320 * scale, dtype=torch.uint8)
    found = {"boxes": torch.tensor([[50.0, 60, 250, 180]]) * scale, "labels": torch.ones(1).long()}
    seen, drawn = plates(monkeypatch, image, {**found, "scores": torch.ones(1)}, ["cat"])
    ((_, _, wide, high),) = seen
    assert 9 <= high / scale <= 16 and 25 <= wide / scale <= 60
    line = (drawn[:, 180 * scale - 3 * scale : 180 * scale + 3 * scale, 200 * scale] > 0).any(0).sum()
    assert int(line) == scale


@pytest.mark.parametrize("side", [16, 28, 32, 64, 100])
def test_small_images_are_enlarged_with_their_boxes_and_outlines(side, monkeypatch):
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    box = torch.tensor([[0.25, 0.25, 0.75, 0.75]]) * side
    masks = torch.zeros(1, 1, side, side)
    masks[..., side // 2 :, side // 2 :] = 1
    found = {"boxes": box, "labels": torch.tensor([1]), "scores": torch.ones(1), "masks": masks}
    seen, drawn = plates(monkeypatch, image, found, ["cat"], enlarged=True)
    scale = drawn.size(1) // side
    assert drawn.shape == (3, scale * side, scale * side) and drawn.size(1) >= 384
    color = torch.tensor(class_colors(1)[0], dtype=torch.uint8)
    assert (drawn[:, side * scale // 4, side * scale // 4 : 3 * side * scale // 4] == color[:, None]).all()
    inside = drawn[:, side * scale - scale :, side * scale - scale :].float()  # the last pixel, which is in the mask
    assert torch.allclose(inside, image[:, -1:, -1:].float() / 2 + color[:, None, None] / 2, atol=1)
    assert torch.equal(drawn[:, :scale, :scale], image[:, :1, :1].expand(-1, scale, scale))
    assert seen[0][3] < drawn.size(1) / 8  # the name covers little of it


def test_the_most_certain_detection_is_on_top():
    image = torch.zeros(3, 240, 320, dtype=torch.uint8)
    boxes = torch.tensor([[50.0, 60, 250, 180], [50, 60, 250, 180]])
    for scores in ([0.9, 0.5], [0.5, 0.9]):
        found = {"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": torch.tensor(scores)}
        best = class_colors(2)[int(np.argmax(scores))]
        drawn = draw(image, found, ["a", "b"])
        assert drawn[:, 180, 150].tolist() == list(best)  # the line
        assert drawn[:, 59, 51].tolist() == list(best)  # the label above the box


def test_names_in_any_script(monkeypatch):
    only_own_fonts(monkeypatch)
    image, found = torch.zeros(3, 60, 80, dtype=torch.uint8), without_masks(RED)
    assert torch.equal(draw(image, found, ["猫"]), draw(image, found, ["class 0"]))
    assert not torch.equal(draw(image, found, ["кот"]), draw(image, found, ["код"]))  # boxes would be alike


def test_names_on_a_long_strip_grow_with_it(monkeypatch):
    image = torch.zeros(3, 300, 3000, dtype=torch.uint8)
    found = {"boxes": torch.tensor([[500.0, 60, 900, 180]]), "labels": torch.ones(1).long(), "scores": torch.ones(1)}
    seen, _ = plates(monkeypatch, image, found, ["cat"])
    assert 25 <= seen[0][3] <= 45


def test_of_very_many_boxes_the_most_certain_ones_have_names(monkeypatch):
    seen = []
    original = module.label_places
    monkeypatch.setattr(
        module, "label_places", lambda boxes, sizes, canvas: seen.extend(sizes) or original(boxes, sizes, canvas)
    )
    boxes = torch.rand(280, 4) * 200
    boxes[:, 2:] += boxes[:, :2] + 5
    found = {"boxes": boxes, "labels": torch.ones(280, dtype=torch.long), "scores": torch.linspace(0.05, 0.9, 280)}
    draw(torch.zeros(3, 400, 400, dtype=torch.uint8), found, ["a class of some length"])
    named = [width * height for width, height in seen]  # the most certain first
    count = sum(area > 0 for area in named)
    assert 1 < count < 280 and all(named[:count]) and sum(named) <= 0.3 * 400 * 400
    seen.clear()
    few = {key: value[:1] for key, value in found.items()}
    draw(torch.zeros(3, 30, 60, dtype=torch.uint8), few, ["a class of some length"])
    assert len(seen) == 1 and seen[0][0] > 0  # a single name stands in any image
