import json
from dataclasses import replace

import pytest
import torch

from vig_pyg import create_model, list_models
from vig_pyg.config import ModelConfig, variant_config
from vig_pyg.interchange import foreign_entries, from_timm, label_entries, pretrained_config, to_timm
from vig_pyg.preprocess import Preprocessing

CHANGES = [
    {},
    {"num_classes": 3},
    {"in_channels": 1, "image_size": 64, "dropout": 0.5},
    {"k": (3, 5), "conv": "gin", "graph": "grid", "dilation": False},
    {"heads": 2, "ffn_ratio": 2, "head_channels": 64, "drop_path_rate": 0.1, "patch_size": 8},
]


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_round_trip_gives_the_configuration(name, change):
    if "graph" in change and name.startswith("pvig"):
        change = {**change, "position": "official"}
    config = variant_config(name).override(change)
    architecture, options = to_timm(config)
    assert architecture == name and "num_classes" not in options
    again = variant_config(architecture).override(from_timm(json.loads(json.dumps(options))))
    again = replace(again, num_classes=config.num_classes)
    assert {k: _plain(v) for k, v in vars(again).items()} == {k: _plain(v) for k, v in vars(config).items()}


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_another_shape_is_described_by_options_of_a_registered_model(name):
    config = variant_config(name)
    key = "depths" if name == "pvig_micro" else "depth"
    config = config.override({key: (1, 1, 1, 1) if key == "depths" else 3})
    architecture, options = to_timm(config)
    assert architecture in list_models() and options[key] == getattr(config, key)
    assert variant_config(architecture).override(from_timm(options)) == replace(config, num_classes=1000)


@pytest.mark.parametrize(
    ("size", "side"), [(32, 32), ((32, 32), 32), ([16, 64], 32), ((224, 448), 317), ((1, 1), 1)], ids=str
)
def test_the_side_of_an_image(size, side):
    assert from_timm({"img_size": size}) == {"image_size": side}


@pytest.mark.parametrize("size", [0, -1, (1, 2, 3), (0, 4), "32", 2.5, None, (3.5, 2)], ids=str)
def test_no_size_is_refused(size):
    with pytest.raises(ValueError, match="img_size must be a positive number or a pair"):
        from_timm({"img_size": size})


@pytest.mark.parametrize(("theirs", "ours"), [("in_chans", "in_channels"), ("drop_rate", "dropout")])
def test_one_option_under_two_names_is_refused(theirs, ours):
    with pytest.raises(TypeError, match=f"Got the option '{ours}' twice"):
        from_timm({theirs: 1, ours: 1})


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro", "pvig_tiny"])
@pytest.mark.parametrize("side", [32, 48, 100])
def test_the_grid_is_that_of_the_last_map(name, side):
    config = variant_config(name).override({"image_size": side})
    with torch.device("meta"):
        model = create_model(config).eval()
        maps = model.forward_intermediates(torch.rand(1, 3, side, side))
    assert pretrained_config(config)["pool_size"] == list(maps[-1].shape[2:])


def test_the_preprocessing_is_described():
    images = Preprocessing(image_size=48, in_channels=2, mean=0.4, std=0.2, crop_pct=0.9)
    found = pretrained_config(variant_config("vig_micro").override({"in_channels": 2}), images)
    assert (found["input_size"], found["crop_pct"]) == ([2, 48, 48], 0.9)
    assert (found["mean"], found["std"]) == ([0.4, 0.4], [0.2, 0.2])


def test_labels():
    assert label_entries(None) == {}
    assert label_entries(["b", "a"]) == {
        "label_names": ["b", "a"],
        "id2label": {"0": "b", "1": "a"},
        "label2id": {"b": 0, "a": 1},
    }


def test_a_family_that_timm_cannot_make_has_labels_only():
    class Other(ModelConfig):
        num_blocks = 1

    assert foreign_entries(Other(num_classes=1), num_features=3, class_names=["a"]) == label_entries(["a"])
    assert foreign_entries(Other(num_classes=1), num_features=3) == {}


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
