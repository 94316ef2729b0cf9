import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg import create_model, vig_micro
from vig_pyg.explain import draw_all, draw_attribution, draw_graph, save_html
from vig_pyg.explain._panel import OPACITY, fill_opacity, layer_title, panel_layout, pixels_of, single_size

MODES = ["RGB", "L", "RGBA", "P", "CMYK", "1", "I;16", "LA"]


@pytest.fixture(scope="module")
def graphs():
    return vig_micro(image_size=32).eval().graphs(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("size", [(40, 30), (32, 32), (7, 90)])
@pytest.mark.parametrize("mode", MODES)
def test_every_pil_image_has_pixels(mode, size):
    pixels = pixels_of(Image.new(mode, size))
    assert (pixels.shape, pixels.dtype) == ((3, size[1], size[0]), torch.float32)
    assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1


def test_all_forms_of_an_image_have_the_same_pixels(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    expected = torch.from_numpy(array).permute(2, 0, 1) / 255
    (image := Image.fromarray(array)).save(tmp_path / "a.png")
    for one in (image, array, tmp_path / "a.png", str(tmp_path / "a.png"), array / np.float32(255), expected):
        assert torch.allclose(pixels_of(one), expected, atol=1e-6)


def test_a_photo_is_drawn(graphs, tmp_path):
    photo = Image.new("RGB", (60, 40), "red")
    for figure in (draw_graph(photo, graphs), draw_all(photo, graphs), draw_attribution(photo, torch.rand(2, 2))):
        assert {image.get_extent()[1] for axes in figure.axes for image in axes.images} == {60}
    save_html(photo, graphs, tmp_path / "page.html")
    assert '"height":40,"width":60' in (tmp_path / "page.html").read_text().replace(" ", "")


@pytest.mark.parametrize("wrong", [torch.rand(2, 3, 32, 32), torch.rand(5, 8, 8), np.zeros((8, 8, 5)), 5, None])
def test_what_is_no_image_is_refused(wrong, graphs):
    with pytest.raises((ValueError, TypeError), match=r"[Ee]xpected"):
        draw_graph(wrong, graphs)


def links(each):
    """A graph of each patch with the next `each` patches."""

    def build(x, layout, x_src, layout_src):
        target = torch.arange(layout.num_nodes).repeat_interleave(each)
        source = (target + 1 + torch.arange(each).repeat(layout.num_nodes)) % layout_src.num_nodes
        return torch.stack([source, target])

    return lambda k, dilation: build


@pytest.mark.parametrize("each", [1, 2, 5])
def test_a_title_counts_the_edges_of_an_own_graph_instead_of_naming_the_settings_of_the_model(each):
    found = vig_micro(graph=links(each), depth=8).eval().graphs(torch.rand(1, 3, 64, 64))
    for i, batch in enumerate(found):
        expected = f"layer {i + 1}: {each} neighbor{'s' if each > 1 else ''}"
        assert layer_title(batch.get_example(0), i) == layer_title(batch.get_example(0), i, 3) == expected
    assert int(found[-1].dilation) > 1


@pytest.mark.parametrize(("name", "options"), [("vig_micro", {"depth": 8}), ("pvig_micro", {})])
def test_a_title_names_the_settings_that_the_edges_show(name, options):
    for i, batch in enumerate(create_model(name, **options).eval().graphs(torch.rand(1, 3, 64, 64))):
        graph = batch.get_example(0)
        head, *rest = layer_title(graph, i, 0).split("\n")
        own = " with itself" * (int(graph.reduce_ratio) == 1)  # the nearest of a patch, unless sources are pooled
        assert head == f"layer {i + 1}: {int(graph.k)} neighbors{own}"
        dilation, ratio = int(graph.dilation), int(graph.reduce_ratio)
        assert (f"dilation {dilation}" in "".join(rest)) == (dilation > 1)
        assert (f"pooled {ratio} x {ratio}" in "".join(rest)) == (ratio > 1)


def test_a_title_of_all_edges_has_the_range_and_that_of_a_patch_its_number():
    graph = vig_micro(graph="grid").eval().graphs(torch.rand(1, 3, 32, 32))[0].get_example(0)
    assert layer_title(graph, 0) == "layer 1: 4 to 9 neighbors with itself"
    assert [layer_title(graph, 0, target) for target in (0, 9)] == [
        "layer 1: 4 neighbors with itself",
        "layer 1: 9 neighbors with itself",
    ]


def test_fills_that_cover_the_image_are_lighter():
    assert fill_opacity([1] * 9, 196) == fill_opacity([], 16) == OPACITY
    few = [fill_opacity([1] * count, 16) for count in range(4, 17)]
    assert few[0] == OPACITY and few == sorted(few, reverse=True) and few[-1] < OPACITY / 3


@pytest.mark.parametrize("count", [1, 2, 4, 5, 12])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 128), (64, 640), (640, 64), (9, 16), (16, 9), (1, 5000)])
def test_panels_have_about_the_shape_of_the_image(count, height, width):
    columns, wide, high = panel_layout(count, height, width)
    assert 1 <= columns <= count and columns * wide <= 10.5
    shown = min(wide, high * width / height), min(high, wide * height / width)  # of the image, in inches
    assert max(shown) >= 2.5
    assert shown[0] * shown[1] >= 0.4 * wide * high or not 1 / 4 <= width / height <= 8
    single = single_size(height, width)
    assert max(single) <= 10.4 and min(single) >= 1.2


def test_usual_images_are_four_beside_each_other():
    assert panel_layout(12, 224, 224) == panel_layout(5, 480, 640) == (4, 2.6, 2.6)
