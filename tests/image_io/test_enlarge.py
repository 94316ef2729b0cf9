import pytest
import torch

from vig_pyg.image_io import drawing_scale, enlarge


@pytest.mark.parametrize("height", [1, 5, 16, 28, 32, 64, 96, 127, 128, 180, 200, 375, 479, 480, 4000])
@pytest.mark.parametrize("width", [1, 12, 32, 100, 127, 128, 240, 500, 640, 20000])
def test_only_small_images_are_enlarged_and_none_becomes_huge(height, width):
    scale, short, long = drawing_scale(height, width), min(height, width), max(height, width)
    assert isinstance(scale, int) and scale >= 1
    assert scale == drawing_scale(width, height)
    if short >= 480:  # from 128 to 479 pixels too, names and areas were too small on a screen
        assert scale == 1
    else:  # large enough, or as large as it may become
        assert short * scale >= 480 or long * (scale + 1) > 1024
        assert short * (scale - 1) < 480
    assert scale == 1 or long * scale <= 1024


def test_photos_of_usual_small_sizes_are_enlarged():
    assert [drawing_scale(*size) for size in [(180, 240), (128, 128), (375, 500), (240, 320)]] == [3, 4, 2, 2]


def test_an_image_without_pixels_stays():
    assert drawing_scale(0, 5) == 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
@pytest.mark.parametrize("shape", [(2, 3), (3, 4, 5), (2, 1, 3, 2)])
def test_each_pixel_becomes_a_square(dtype, shape):
    pixels = torch.randint(0, 2, shape).to(dtype)
    assert enlarge(pixels, 1) is pixels
    large = enlarge(pixels, 3)
    assert large.shape == (*shape[:-2], 3 * shape[-2], 3 * shape[-1]) and large.dtype == dtype
    for row in range(3):
        for column in range(3):
            assert torch.equal(large[..., row::3, column::3], pixels)
