import random

import pytest
import torch
from PIL import Image

from vig_pyg.segmentation.preprocess import SegmentationPreprocessing, read_preprocessing


def test_an_image_keeps_its_size_and_its_pixels():
    pixels = torch.randint(0, 256, (3, 11, 17), dtype=torch.uint8)
    found = SegmentationPreprocessing().of_pixels(pixels)
    torch.testing.assert_close(found, (pixels / 255 - 0.5) / 0.5)
    torch.testing.assert_close(SegmentationPreprocessing(mean=0.2, std=2.0).of_pixels(pixels), (pixels / 255 - 0.2) / 2)


def test_the_short_side_gets_its_length_and_no_side_becomes_empty_or_endless():
    draw = random.Random(0)
    for _ in range(200):
        short = draw.randint(1, 64)
        height, width = draw.randint(1, 300), draw.randint(1, 300)
        tall, wide = SegmentationPreprocessing(image_size=short).size_of(height, width)
        assert 1 <= min(tall, wide) <= short and max(tall, wide) <= 4 * short
        if max(height, width) <= 4 * min(height, width):
            assert min(tall, wide) == short
            assert abs(tall * width - wide * height) <= max(height, width) / 2 + 1
    assert SegmentationPreprocessing(image_size=32)(Image.new("RGBA", (64, 100))).shape == (3, 50, 32)


@pytest.mark.parametrize(
    "entry", [{"image_size": 0}, {"std": 0}, {"mean": "a"}, {"crop": 3}, [], {"image_size": 10**6}]
)
def test_wrong_entries_are_named(entry):
    with pytest.raises(ValueError, match=r"config\.json: preprocessing"):
        read_preprocessing(entry, "config.json: preprocessing")
