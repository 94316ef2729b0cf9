import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg import vig_micro
from vig_pyg.explain import draw_all, draw_attribution, draw_graph, save_html
from vig_pyg.explain._panel import pixels_of

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
