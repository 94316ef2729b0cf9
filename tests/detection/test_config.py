import copy
import random

import pytest
import yaml

from tests.detection.common import plan
from tests.mutations import VALUES, mutated
from vig_pyg._io.bounded_yaml import parse_yaml
from vig_pyg.detection import DETECTORS
from vig_pyg.detection.config import Augmentation, DetectionConfig, make_config
from vig_pyg.engine.config_file import to_yaml


def sound():
    options = {"k": (3, 5), "min_size": (64, 96), "anchor_scale": 2.0, "detector": {"box_score_thresh": 0.1}}
    augmentation = Augmentation(flip="hv", scale=(0.5, 2.0))
    return plan("a.json", "b.json", detector="maskrcnn", options=options, schedule="cosine", augmentation=augmentation)


def test_a_configuration_goes_round_as_yaml():
    made = sound()
    assert make_config(("config.yaml", parse_yaml(to_yaml(made), where="config.yaml"))) == made
    assert made.masks and made.variant == "micro"
    plain = DetectionConfig(train="a", val="b", model="pvig_small")
    assert not plain.masks and plain.variant == "small"
    assert make_config(("the command line", {"train": "a", "val": "b", "model": "pvig_small"})) == plain


def test_the_detectors_are_those_of_the_builders():
    for detector in DETECTORS:
        assert DetectionConfig(train="a", val="b", detector=detector).detector == detector
    with pytest.raises(ValueError, match=f"detector must be one of {', '.join(DETECTORS)}, got 'yolo'"):
        DetectionConfig(train="a", val="b", detector="yolo")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"on_bad": "ignore"}, "on_bad must be one of drop, stop"),
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"lr": 0}, "lr must be a number above 0"),
        ({"clip_grad": 0}, "clip_grad must be a number above 0"),
        ({"warmup": "-1 steps"}, "warmup must be text such as"),
        ({"warmup": 500}, 'warmup must be text such as "5%" .*"500 steps"'),
        ({"schedule": "linear"}, "schedule must be one of cosine, poly, step"),
        ({"precision": "float16"}, "precision must be one of 32-true, 16-mixed, bf16-mixed"),
        ({"model": "huge"}, "model must be one of micro, tiny, small, medium, base"),
        ({"augmentation": {"flip": "v"}}, "augmentation: flip must be one of none, h, hv"),
        ({"augmentation": {"scale": [2, 1]}}, "scale must be a smallest and a largest factor"),
        ({"augmentation": {"scale": [1, 1e9]}}, "augmentation: scale"),
        ({"augmentation": {"color": 1}}, "augmentation: color must be a number from 0 to less than 1"),
        ({"augmentation": {"jitter": [2, 1]}}, "jitter must be a smallest and a largest factor"),
        ({"augmentation": {"jitter": [0, 1]}}, "augmentation: jitter"),
        ({"augmentation": {"jitter": [0.5, 2], "scale": [0.5, 2]}}, "both scale images: choose one of them"),
        ({"augmentation": {"jitter_size": 0}}, "jitter_size must be a whole number from 1"),
        ({"augmentation": {"copy_paste": 1.5}}, "copy_paste must be a number from 0 to 1"),
        (
            {"augmentation": {"jitter": [0.5, 2], "jitter_size": 16384}, "options": {"patch_size": 1}},
            "edges of one image are refused",
        ),
        ({"aspect_grouping": "yes"}, "aspect_grouping must be true or false"),
        ({"milestones": [0.9, 0.5]}, "milestones must be ascending"),
        ({"options": {"in_channels": 1}}, "in_channels must be 3, got 1"),
        ({"options": {"max_size": 16384, "patch_size": 1}}, "edges of one image are refused"),
        ({"options": {"graph": "complete", "max_size": 5000}}, "edges of one image are refused"),
        ({"options": {"depths": [500, 500, 1, 1]}}, "blocks"),
        ({"epoch": 3}, r"config.yaml: unknown entry 'epoch' \(did you mean 'epochs'\?\)"),
        ({"train": None}, "config.yaml: train must be text"),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        make_config(("config.yaml", {"train": "a", "val": "b", **values}))


@pytest.mark.parametrize("name", ["train", "val"])
def test_images_must_be_named(name):
    with pytest.raises(ValueError, match=f"--{name} is missing"):
        make_config(("config.yaml", {other: "a" for other in ("train", "val") if other != name}))


def test_a_hostile_file_is_refused_by_name_or_makes_a_configuration():
    """300 files of changed values."""
    draw, read, good = random.Random(0), 0, yaml.safe_load(to_yaml(sound()))
    for _ in range(300):
        values = mutated(copy.deepcopy(good), draw)
        try:
            made = make_config(("config.yaml", values))
        except ValueError as error:
            assert str(error).isprintable() and len(str(error)) < 2000
            continue
        read += 1
        assert make_config(("config.yaml", yaml.safe_load(to_yaml(made)))) == made
    assert 10 < read < 200


@pytest.mark.parametrize("name", [*yaml.safe_load(to_yaml(sound()))])
def test_a_value_is_taken_within_its_bounds_or_refused_by_name(name):
    """34 values for each entry."""
    for value in VALUES:
        try:
            make_config(("config.yaml", {"train": "a", "val": "b", name: value}))
        except ValueError as error:
            assert name in str(error) and str(error).isprintable() and len(str(error)) < 1500
