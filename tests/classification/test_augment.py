import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg.classification import Augmentation
from vig_pyg.classification.augment import AugmentedImage
from vig_pyg.engine.seeds import seeded
from vig_pyg.preprocess import Preprocessing


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))


NOTHING = {"crop": None, "flip": 0.0}


def test_without_augmentation_it_is_the_preprocessing(picture):
    preprocessing = Preprocessing(image_size=32)
    assert torch.equal(AugmentedImage(Augmentation(**NOTHING), preprocessing)(picture), preprocessing(picture))


@pytest.mark.parametrize(
    "change",
    [
        {"affine": True},
        {"crop": 0.2},
        {"flip": 1.0},
        {"color_jitter": 0.4},
        {"randaugment": "rand-m9-mstd0.5-inc1"},
        {"erasing": 1.0},
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_part_changes_something_and_a_seed_settles_it(picture, change, channels):
    preprocessing = Preprocessing(image_size=32, in_channels=channels)
    make = AugmentedImage(Augmentation(**NOTHING | change), preprocessing)
    with seeded(1):
        first = make(picture)
    with seeded(1):
        assert torch.equal(make(picture), first)
    assert first.shape == (channels, 32, 32)
    assert not torch.equal(first, preprocessing(picture))


def test_flips_are_flips(picture):
    preprocessing = Preprocessing(image_size=32)
    flipped = AugmentedImage(Augmentation(crop=None, flip=1.0), preprocessing)(picture)
    assert torch.equal(flipped, preprocessing(picture).flip(-1))


def test_arrays_of_any_channels(picture):
    array = np.random.default_rng(0).random((40, 50, 6), dtype=np.float32)
    preprocessing = Preprocessing(image_size=32, in_channels=6)
    assert AugmentedImage(Augmentation(affine=True, erasing=1.0), preprocessing)(array).shape == (6, 32, 32)
    with pytest.raises(ValueError, match="colors of images with 1 or 3 channels; with in_channels=6"):
        AugmentedImage(Augmentation(color_jitter=0.1), preprocessing)


@pytest.mark.parametrize("wrong", [{"crop": 0.0}, {"flip": 2.0}, {"erasing": -0.1}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
