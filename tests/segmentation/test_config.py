import pytest

from vig_pyg.engine.config_file import to_values
from vig_pyg.segmentation.config import Augmentation, SegmentationConfig, make_config

DATA = {"train": "a", "val": "b"}


def test_the_defaults_are_the_recipe_of_the_family():
    config = make_config(("here", DATA))
    assert (config.lr, config.schedule, config.batch_size, config.crop_size) == (2e-4, "poly", 32, (512, 512))
    assert (config.augmentation.scale, config.variant) == ((0.5, 2.0), "tiny")
    assert make_config(("again", to_values(config))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"segmenter": "fcn"}, "segmenter"),
        ({"model": "vig_tiny"}, "model"),
        ({"crop_size": [512]}, "crop_size"),
        ({"crop_size": 512}, "crop_size"),
        ({"crop_size": [0, 5]}, "crop_size"),
        ({"image_size": 0}, "image_size"),
        ({"loss": "focal"}, "loss"),
        ({"class_weights": "maybe"}, "class_weights"),
        ({"dice": -1}, "dice"),
        ({"steps": 0}, "steps"),
        ({"augmentation": {"scale": [2, 1]}}, "scale"),
        ({"augmentation.flip": "v"}, "flip"),
        ({"options": {"num_classes": 3}}, "num_classes"),
        ({"options.in_channels": 1}, "in color"),
        ({"crop_size": [16000, 16000]}, "edges"),
        ({"clas_weights": "sqrt"}, "class_weights"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        make_config(("here", {**DATA, **values}))


@pytest.mark.parametrize("name", ["train", "val"])
def test_images_are_needed(name):
    with pytest.raises(ValueError, match=f"--{name} is missing"):
        make_config(("here", {key: value for key, value in DATA.items() if key != name}))


def test_the_names_of_the_family_are_accepted():
    assert SegmentationConfig(**DATA, model="pvig_small").variant == "small"
    assert Augmentation(scale=(1.0, 1.0)).flip == "h"
