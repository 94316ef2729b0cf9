import random

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment

from vig_pyg.classification import Augmentation
from vig_pyg.classification.augment import AugmentedImage
from vig_pyg.classification.color_ops import color_transform, posterize
from vig_pyg.engine.seeds import seeded
from vig_pyg.preprocess import Preprocessing

#: Strings as published and as people write them: all sets of operations, both directions, all policies.
STRINGS = [
    "rand-m9-mstd0.5-inc1",
    "rand-m0-p1-n3",
    "rand-m10-p1-n3-inc1",
    "rand-m10-mstd101-mmax30-inc1-p1",
    "rand-m20-mmax20-inc1-p1-n4",
    "rand-m5-t3a-p1",
    "rand-m15-t3aw-p1-n6",
    "rand-mstd1-tweights",
    "augmix-m5-w4-d2",
    "augmix-m10-mstd3-b1",
    "augmix",
    "v0",
    "v0r-mstd2",
    "original-mstd0.5",
    "originalr-mstd3",
    "3a",
]


def images():
    """One pixel, one row, noise, one color, gray, with transparency, a palette, large."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    return {
        "one pixel": Image.new("RGB", (1, 1), (200, 100, 50)),
        "row": Image.new("RGB", (40, 1)),
        "column": Image.new("RGB", (1, 40)),
        "noise": noise,
        "white": Image.new("RGB", (16, 16), "white"),
        "gray": noise.convert("L"),
        "black and white": noise.convert("1"),
        "transparent": noise.convert("RGBA"),
        "palette": noise.convert("P"),
        "inks": noise.convert("CMYK"),
        "large": Image.new("RGB", (1500, 1000), (1, 2, 3)),
    }


def color(text, size=32):
    return color_transform(text, 0.0, image_size=size, mean=0.5, std=0.5)


@pytest.mark.parametrize("name", auto_augment.NAME_TO_OP)
def test_every_operation_works_at_every_magnitude(name):
    """27 operations, 11 images, magnitudes from none to three times the usual largest."""
    chosen = auto_augment.rand_augment_transform(
        "rand-p1-n1-mmax30", {"img_mean": (128,) * 3, "translate_const": 14}, transforms=[name]
    )
    made = color("rand-p1-n1")
    made.transforms[0] = chosen
    operation = chosen.ops[0]
    if operation.aug_fn is auto_augment.posterize:
        operation.aug_fn = posterize
    for image in images().values():
        rgb = image.convert("RGB")
        for magnitude in [0, 0.1, 2.5, 5, 7.5, 9.9, 10, 15, 30] if max(rgb.size) < 100 else [0, 10]:
            operation.magnitude = magnitude
            out = made(rgb)
            assert (out.mode, out.size) == ("RGB", rgb.size)


@pytest.mark.parametrize("text", STRINGS)
def test_every_string_works_on_every_image(text):
    draw, sized = color(text), {"gray": 1}
    augment = {
        channels: AugmentedImage(
            Augmentation(randaugment=text, crop=0.08), Preprocessing(image_size=16, in_channels=channels)
        )
        for channels in (1, 3)
    }
    for name, image in images().items():
        for turn in range(6 if max(image.size) < 100 else 1):
            with seeded(turn):
                assert draw(image.convert("RGB")).size == image.size
                channels = sized.get(name, 3)
                assert augment[channels](image).shape == (channels, 16, 16)


def test_the_published_recipe_goes_through_many_images():
    """One in six hundred ended it."""
    draw, image = color("rand-m9-mstd0.5-inc1"), images()["noise"]
    black = 0
    for turn in range(6000):
        with seeded(turn):
            black += draw(image).getextrema() == ((0, 0),) * 3
    assert black > 2


@pytest.mark.parametrize("bits", range(-3, 11))
def test_bits_are_kept_as_they_always_were(bits):
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    kept = np.asarray(posterize(Image.fromarray(values), bits))
    mask = 0 if bits <= 0 else (0xFF << max(8 - bits, 0)) & 0xFF
    assert np.array_equal(kept, values & mask)


def test_timm_stays_as_it_was_and_draws_the_same():
    color("rand-m9-mstd0.5-inc1")
    assert auto_augment.NAME_TO_OP["Posterize"] is auto_augment.posterize
    plain = auto_augment.rand_augment_transform(
        "rand-m5-mstd0.5-inc1",
        {"translate_const": 14, "img_mean": (128,) * 3, "interpolation": Image.Resampling.BICUBIC},
    )
    ours, image = color("rand-m5-mstd0.5-inc1"), images()["noise"]
    for turn in range(200):
        with seeded(turn):
            expected = np.asarray(plain(image))
        with seeded(turn):
            assert np.array_equal(np.asarray(ours(image)), expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rand-",
        "rand-n1000000000",
        "rand-n99-tweights",
        "rand-m9-x1",
        "rand-tnothing-n1000",
        "augmix-w0",
        "augmix-z3",
        "augmix-m1e9",
        "randaugment",
        "v1",
        "original-m3",
        "\x1b[2J",
        "x" * 1000,
        "rand-m" + "9" * 50,
        "rand-mstdnan",
        "rand-m-1",
    ],
)
def test_a_wrong_string_is_told_before_the_first_step_or_works(text):
    state = random.getstate()
    try:
        make = AugmentedImage(Augmentation(randaugment=text), Preprocessing(image_size=16))
    except ValueError as error:
        assert str(error).startswith(("randaugment=", "randaugment must be"))
        assert str(error).isprintable() and len(str(error)) < 400
    else:
        for turn in range(20):
            with seeded(turn):
                assert make(images()["noise"]).isfinite().all()
    assert random.getstate() == state
