import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from vig_pyg.preprocess import Preprocessing


def test_equals_the_same_steps_in_pil():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    small = image.resize((48, 32), Image.Resampling.BICUBIC).crop((8, 0, 40, 32))
    want = torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255
    torch.testing.assert_close(Preprocessing(image_size=32)(image), (want - 0.5) / 0.5, rtol=0, atol=2 / 255 + 1e-6)


def test_restore_is_the_inverse():
    preprocessing = Preprocessing(image_size=8, mean=0.3, std=0.2)
    image = Image.fromarray(np.full((8, 8, 3), 51, dtype=np.uint8))
    torch.testing.assert_close(preprocessing.restore(preprocessing(image)), torch.full((3, 8, 8), 0.2))


@pytest.mark.parametrize(("channels", "drawn"), [(1, 1), (2, 1), (3, 3), (4, 3), (7, 3)])
def test_restore_leaves_out_what_cannot_be_drawn(channels, drawn):
    preprocessing = Preprocessing(image_size=8, in_channels=channels)
    assert preprocessing.restore(torch.zeros(channels, 8, 8)).shape == (drawn, 8, 8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_gets_the_channels(mode, channels):
    assert Preprocessing(image_size=8, in_channels=channels)(Image.new(mode, (9, 12))).shape == (channels, 8, 8)


def test_any_number_of_channels():
    assert Preprocessing(image_size=8, in_channels=4)(Image.new("RGB", (9, 12))).shape == (4, 8, 8)
    array = np.random.default_rng(0).random((8, 8, 5))
    image = Preprocessing(image_size=8, in_channels=5)(array)
    torch.testing.assert_close(image, (torch.tensor(array).permute(2, 0, 1).float() - 0.5) / 0.5)
    gray = np.full((9, 12), 255, dtype=np.uint8)
    assert Preprocessing(image_size=8, in_channels=1)(gray).unique().tolist() == [1.0]


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="in_channels and image_size must be at least 1"):
        Preprocessing(image_size=8, in_channels=0)
    with pytest.raises(ValueError, match=r"for in_channels=5 use \.npy arrays"):
        Preprocessing(image_size=8, in_channels=5)(Image.new("RGB", (9, 12)))
    with pytest.raises(ValueError, match=r"Expected an array \(height, width, 3\), got \(8, 8, 5\)"):
        Preprocessing(image_size=8)(np.zeros((8, 8, 5)))


def test_the_crop_can_leave_a_margin():
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[5:15, 5:15] = 255
    image = Image.fromarray(pixels)
    assert Preprocessing(image_size=10, in_channels=1, crop_pct=0.5)(image).min() == 1
    assert Preprocessing(image_size=10, in_channels=1)(image).min() == -1
    with pytest.raises(ValueError, match="crop_pct"):
        Preprocessing(image_size=10, crop_pct=0.0)


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_each_color_has_its_mean_as_in_torchvision():
    image = Image.effect_noise((20, 20), 90).convert("RGB")
    preprocessing = Preprocessing(image_size=20, mean=MEAN, std=STD)
    pixels = v2.functional.to_dtype(v2.functional.to_image(image), torch.float32, scale=True)
    made = preprocessing(image)
    torch.testing.assert_close(made, v2.functional.normalize(pixels, list(MEAN), list(STD)))
    torch.testing.assert_close(preprocessing.restore(made), torch.as_tensor(pixels), atol=1e-6, rtol=0)
    one = Preprocessing(image_size=20, mean=0.3, std=0.2)
    equal = Preprocessing(image_size=20, mean=(0.3,) * 3, std=[0.2] * 3)
    torch.testing.assert_close(one(image), equal(image))
    assert equal.std == (0.2,) * 3 and hash(equal) is not None


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_have_the_mean_of_the_colors(channels):
    made = Preprocessing(image_size=8, mean=MEAN, std=STD).adapted(image_size=16, in_channels=channels)
    assert (made.image_size, made.in_channels) == (16, channels)
    assert made.mean == pytest.approx(0.449) and made.std == pytest.approx(0.226)
    same = Preprocessing(image_size=8, mean=MEAN, std=STD).adapted(image_size=16, in_channels=3)
    assert (same.mean, same.std) == (MEAN, STD)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": (0.5, 0.5)},
        {"std": (0.5,) * 4},
        {"std": 0},
        {"std": (0.2, 0, 0.2)},
        {"std": (0.2, -1, 0.2)},
        {"mean": ()},
    ],
)
def test_numbers_for_other_channels_are_refused(wrong):
    with pytest.raises(
        ValueError, match=r"(mean|std) must be one (positive )?number, or one for each of the 3 channels"
    ):
        Preprocessing(image_size=8, **wrong)


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "a", None, True])
@pytest.mark.parametrize("place", [None, 0, 1, 2])
def test_a_statistic_that_is_no_finite_number_is_refused(name, bad, place):
    numbers = [0.5, 0.5, 0.5]
    if place is not None:
        numbers[place] = bad
    with pytest.raises(ValueError, match=f"{name} must be one "):
        Preprocessing(image_size=8, **{name: bad if place is None else tuple(numbers)})
