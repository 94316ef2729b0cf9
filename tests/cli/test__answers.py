from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg._palette import blended, class_colors
from vig_pyg.cli._answers import of_detector, of_segmenter
from vig_pyg.image_io import drawing_scale
from vig_pyg.segmentation.colors import class_colors as mask_colors


@pytest.mark.parametrize(("size", "resized", "shape"), [((40, 60), (40, 60), (40, 60)), ((40, 60), (20, 30), (32, 32))])
def test_objects_lie_where_the_image_lies(size, resized, shape):
    image = Image.fromarray(np.zeros((*size, 3), np.uint8))
    box = torch.tensor([[30.0, 10.0, 50.0, 30.0]])

    class Detector:
        class_names = ("cat", "<dog>")
        model = SimpleNamespace(transform=lambda images: [SimpleNamespace(image_sizes=[resized])])

        def __call__(self, images):
            return {"boxes": box, "labels": torch.tensor([2]), "scores": torch.tensor([0.875])}

    lines, colors, drawn = of_detector(Detector(), image, shape)
    assert colors == [class_colors(2)[1]]
    more = drawing_scale(*shape)  # small drawings have more pixels than the page's image, so that names are readable
    assert lines == ["<dog>: 1 (highest score 0.88)"] and drawn.shape == (3, more * shape[0], more * shape[1])
    assert min(drawn.shape[1:]) >= 384
    scale, resized = more * resized[0] / size[0], (more * resized[0], more * resized[1])
    row, column = round(20 * scale), round(30 * scale)
    color = torch.tensor(class_colors(2)[1]) / 255
    near = drawn[:, row, column - more : column + more + 1].amax(1)
    assert (near / near.max() - color / color.max()).abs().max() < 0.15
    assert drawn[:, resized[0] :].abs().max() < 1e-6 if drawn.size(1) > resized[0] else True


def test_shares_and_colors_of_pixels():
    labels = torch.zeros(8, 12, dtype=torch.uint8)
    labels[:, 3:] = 2

    class Segmenter:
        class_names = ("sky", "sea", "road")

        def __call__(self, image):
            return {"labels": labels}

    lines, colors, drawn = of_segmenter(Segmenter(), Image.fromarray(np.zeros((8, 12, 3), np.uint8)), (16, 24))
    assert lines == ["road: 75.0%", "sky: 25.0%"] and drawn.shape == (3, 16, 24)
    assert colors == [blended(mask_colors(3, background=False)[label], over=0) for label in (2, 0)]
    for column, label in ((2, 0), (20, 2)):
        expected = 0.6 * torch.tensor(mask_colors(3, background=False)[label]) / 255
        assert (drawn[:, 8, column] - expected).abs().max() < 0.02
