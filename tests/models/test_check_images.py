import math

import pytest
import torch

from tests.common import calibrated
from vig_pyg import PyramidViG, ViG


@pytest.fixture(params=[ViG, PyramidViG])
def model(request):
    return calibrated(request.param("micro", num_classes=5))


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_not_finite_are_named(model, bad, as_list):
    images = torch.rand(3, 3, 32, 32)
    images[1, 2, 5, 6] = bad
    where = "image 1 of the list" if as_list else "image 1 of the batch"
    with pytest.raises(ValueError, match=rf"Pixels of {where} are not finite \(NaN or infinity\): check how"):
        model(list(images) if as_list else images)


def test_two_infinities_do_not_hide_each_other(model):
    images = torch.rand(2, 3, 32, 32)
    images[0, 0, 0, 0], images[0, 1, 0, 0] = math.inf, -math.inf
    with pytest.raises(ValueError, match="image 0 of the batch"):
        model(images)


BAD = {
    "channels": (torch.rand(2, 1, 32, 32), r"images with 3 channels, got 1 in \(2, 1, 32, 32\): pass in_channels="),
    "dimensions": (
        torch.rand(3, 32, 32),
        r"Expected images as a tensor \(B, C, H, W\), got \(3, 32, 32\): pass image\[None\]",
    ),
    "integers": (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"as floats, got torch.uint8: scale to \[0, 1\]"),
    "small": (torch.rand(1, 3, 32, 1), r"at least \d x \d pixels, got \(32, 1\): resize, or .* smaller patch_size"),
    "no batch": (torch.rand(0, 3, 32, 32), "Got no images: pass at least one"),
    "no list": ([], "Got no images: pass at least one"),
    "no tensor": ("photo.jpg", r"Expected images as a tensor \(B, C, H, W\), got str\.$"),
    "list, channels": ([torch.rand(3, 32, 32), torch.rand(4, 32, 32)], "image 1 of the list with 3 channels, got 4"),
    "list, dimensions": (
        [torch.rand(1, 3, 32, 32)],
        r"image 0 of the list as a tensor \(C, H, W\), got \(1, 3, 32, 32\)",
    ),
    "list, integers": ([torch.zeros(3, 32, 32, dtype=torch.int64)], "image 0 of the list as floats, got torch.int64"),
    "list, small": ([torch.rand(3, 32, 32), torch.rand(3, 1, 32)], "image 1 of the list of at least"),
    "list, no tensor": ([torch.rand(3, 32, 32), None], "image 1 of the list as a tensor .* got NoneType"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("method", ["forward", "forward_intermediates", "graphs", "embed"])
def test_bad_images_are_refused(model, case, method):
    images, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(images)
