import numpy as np
import pytest
import torch
from PIL import Image

from tests._fonts.installed import only_own_fonts
from vig_pyg._palette import blended
from vig_pyg.segmentation.colors import class_colors, colors_of
from vig_pyg.segmentation.draw import color_areas, draw_labels, to_palette_image
from vig_pyg.segmentation.sources.voc import VOC_CLASSES


def test_a_mask_is_readable_and_keeps_its_labels(tmp_path):
    labels = torch.randint(0, 256, (9, 11), dtype=torch.uint8)
    to_palette_image(labels).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image), labels.numpy())
        assert image.convert("RGB").getcolors(256) is not None


def test_every_class_that_occurs_is_in_the_legend_in_its_color():
    labels = torch.zeros(60, 80, dtype=torch.uint8)
    labels[:20] = 4
    labels[20:30] = 255
    image = torch.full((3, 60, 80), 100, dtype=torch.uint8)
    drawing = draw_labels(image, labels, ["sky", "a", "b", "c", "tree", "never"], opacity=1.0)
    pixels, colors = np.asarray(drawing), class_colors(7)[1:]
    assert drawing.width == 80 and drawing.height > 60
    assert tuple(pixels[5, 5]) == colors[4] and tuple(pixels[50, 5]) == colors[0]
    assert tuple(pixels[25, 5]) == (100, 100, 100)
    legend = {tuple(color) for color in pixels[60:].reshape(-1, 3)}
    assert {colors[0], colors[4]} <= legend and not {colors[1], colors[2], colors[3], colors[5]} & legend


def test_a_narrow_image_gets_lines_and_an_unlabeled_one_no_legend():
    labels = torch.arange(12, dtype=torch.uint8)[:, None].expand(12, 5)
    names = [f"class {i} with a long name" for i in range(12)]
    image = torch.zeros(3, 12, 5, dtype=torch.uint8)
    assert draw_labels(image, labels, names).size == (5, 12 + 12 * 16)
    assert draw_labels(image, torch.full((12, 5), 255, dtype=torch.uint8), names).size == (5, 12)


def test_the_legend_names_classes_in_any_script(monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    labels = torch.arange(60)[:, None].expand(60, 200) // 20
    image = torch.zeros(3, 60, 200, dtype=torch.uint8)
    drawing = draw_labels(image, labels, ["небо", "猫", "Größe"])
    assert len(caplog.records) == 1 and "Noto Sans CJK" in caplog.text
    assert np.array_equal(drawing, draw_labels(image, labels, ["небо", "class 1", "Größe"]))
    assert not np.array_equal(drawing, draw_labels(image, labels, ["мебо", "class 1", "Größe"]))  # boxes are alike


def colored(picture, color):
    """The number of pixels of a color in each row of a picture."""
    return (np.asarray(picture) == color).all(2).sum(1)


@pytest.mark.parametrize("scale", [1, 1.5, 2, 6])
def test_the_legend_grows_with_the_image(scale):
    labels = torch.zeros(round(360 * scale), round(480 * scale), dtype=torch.uint8)
    image = torch.full((3, *labels.shape), 90, dtype=torch.uint8)
    drawing = draw_labels(image, labels, ["background"])
    assert drawing.size == (480 * scale, 376 * scale)
    # the swatch looks like the area, which lets the image show through: an opaque one would be darker than the area
    swatch = np.asarray(drawing)[labels.size(0) :, : round(13 * scale)]
    rows = colored(swatch, blended(class_colors(1)[0], over=90))
    side = round(10 * scale) - 2 * max(1, round(scale))  # inside of its black outline
    assert rows.max() == side and (rows > 0).sum() == side


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("light", [0, 90, 255])
def test_a_swatch_of_the_legend_looks_like_the_area(light, opacity):
    labels = torch.zeros(60, 80, dtype=torch.uint8)
    labels[:, 40:] = 3
    image = torch.full((3, 60, 80), light, dtype=torch.uint8)
    image[:, :, 40:] = 255 - light
    pixels = np.asarray(draw_labels(image, labels, ["a", "b", "c", "d"], opacity=opacity)).astype(int)
    legend = pixels[60:].reshape(-1, 3)
    for area in (pixels[30, 20], pixels[30, 60]):
        assert (abs(legend - area).max(1) <= 1).sum() >= 64


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (28, 28), (32, 48), (64, 64), (127, 100), (5, 12), (180, 240), (375, 500)]
)
def test_small_images_are_enlarged_with_their_labels(height, width):
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    labels = torch.zeros(height, width, dtype=torch.uint8)
    labels[:, width // 2 :] = 1
    drawing = draw_labels(image, labels, ["sky", "a tree of the forest"], opacity=1.0, enlarged=True)
    scale = drawing.width // width
    short, long = sorted((height, width))
    assert drawing.width == scale * width and short * scale >= min(480, 1024 // long * short)  # no strip becomes huge
    pixels = np.asarray(drawing)[: height * scale]
    assert pixels.shape[0] == height * scale
    edge = width // 2 * scale
    sky, tree = colors_of(["sky", "tree"])
    assert (pixels[:, :edge] == sky).all() and (pixels[:, edge:] == tree).all()
    assert np.asarray(draw_labels(image, labels, ["sky", "tree"], enlarged=False)).shape[1] == width


@pytest.mark.parametrize("width", [30, 60, 100, 240])
def test_no_name_leaves_the_picture(width):
    """A white margin at the right of the legend: the letters do not go on behind the border."""
    labels = torch.arange(2, dtype=torch.uint8)[:, None].expand(2, width)
    image = torch.zeros(3, 2, width, dtype=torch.uint8)
    for name in ("n" * 60, "a name of several words", "sky"):
        drawing = np.asarray(draw_labels(image, labels, [name, "other " + name]))
        assert drawing.shape[1] == width
        assert (drawing[2:, -1] == 255).all()
        assert (drawing[2:, 15:] < 128).any()


@pytest.mark.parametrize(("height", "width"), [(3000, 40), (1000, 3)])
def test_the_legend_of_a_narrow_image_is_wider_than_it(height, width):
    labels = torch.zeros(height, width, dtype=torch.uint8)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    names = ["a name of several words"]
    drawing, wide = draw_labels(image, labels, names, enlarged=True), draw_labels(image, labels, names)
    assert drawing.width == 360 and wide.width == width
    text = np.asarray(drawing)[height:].min(2) < 100
    assert text.any(0).nonzero()[0].max() > 120  # the whole name
    assert (np.asarray(drawing)[:height, width:] == 255).all()


def test_masks_have_published_colors():
    labels = torch.tensor([[0, 15, 20, 255]], dtype=torch.uint8)
    image = to_palette_image(labels, VOC_CLASSES)
    assert np.asarray(image).tolist() == labels.tolist()
    colors = colors_of(VOC_CLASSES)
    assert np.asarray(image.convert("RGB"))[0].tolist() == [[*colors[i]] for i in (0, 15, 20)] + [[255] * 3]
    drawing = draw_labels(torch.zeros(3, 1, 4, dtype=torch.uint8), labels, VOC_CLASSES, opacity=1.0)
    assert np.asarray(drawing)[0, 1].tolist() == [*colors[15]]


def test_areas_are_the_same_with_and_without_a_legend():
    labels = torch.randint(0, 3, (9, 11), dtype=torch.uint8)
    image = torch.randint(0, 256, (3, 9, 11), dtype=torch.uint8)
    areas, colors = color_areas(image, labels, ["a", "b", "c"])
    drawing = np.asarray(draw_labels(image, labels, ["a", "b", "c"]))
    assert np.array_equal(drawing[:9], areas.permute(1, 2, 0)) and set(colors) == set(labels.unique().tolist())
    nothing, colors = color_areas(image, torch.full_like(labels, 255), ["a"])
    assert torch.equal(nothing, image) and colors == {}


def test_the_legend_of_a_long_strip_grows_with_it():
    labels = torch.zeros(200, 3600, dtype=torch.uint8)
    drawing = draw_labels(torch.zeros(3, 200, 3600, dtype=torch.uint8), labels, ["sky"], enlarged=True)
    assert drawing.size == (3600, 200 + 3 * 16)
