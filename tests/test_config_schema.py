import json
from dataclasses import asdict, fields

import pytest
import torch
from torch import nn

from tests.mutations import VALUES
from vig_pyg.builders import list_models
from vig_pyg.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS, PyramidViGConfig, ViGConfig, variant_config
from vig_pyg.config_schema import check_size, check_weights_hold, model_options, options_of, read_preprocessing
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights import TABLE


@pytest.mark.parametrize("name", list_models())
def test_every_variant_is_taken_as_json_has_it(name):
    config = variant_config(name)
    values = json.loads(json.dumps(asdict(config)))
    assert type(config)(**options_of(name)(values, "file")) == config
    check_size(config, 2 * config.image_size, "file")


@pytest.mark.parametrize("family", [ViGConfig, PyramidViGConfig])
def test_every_field_has_a_check(family):
    """A field that is new needs bounds; whatever a check takes, the configuration takes or refuses plainly."""
    variant = (PYRAMID_VIG_VARIANTS if family is PyramidViGConfig else VIG_VARIANTS)["micro"]
    check, taken = model_options(family), 0
    for field in fields(family):
        for value in VALUES:
            try:
                found = check({field.name: value}, "file")
            except ValueError as error:
                assert str(error).startswith(f"file: {field.name}")
                continue
            taken += 1
            try:
                check_size(variant.override(found), 32, "file")
            except ValueError as error:
                assert str(error).isprintable()
    assert taken > len(fields(family))


@pytest.mark.parametrize("weights", TABLE.values(), ids=lambda weights: weights.name)
def test_every_published_preprocessing_is_taken(weights):
    made = weights.preprocessing
    assert read_preprocessing(json.loads(json.dumps(asdict(made))), "file") == made


@pytest.mark.parametrize("name", [field.name for field in fields(Preprocessing)])
def test_preprocessing_has_bounds(name):
    for value in VALUES:
        try:
            assert read_preprocessing({"image_size": 32, name: value}, "file").resize_size <= 2**14
        except ValueError as error:
            assert str(error).startswith(f"file: {name}") or "file resizes images to" in str(error)
    with pytest.raises(ValueError, match=r"file resizes images to 204800 pixels"):
        read_preprocessing({"image_size": 2048, "crop_pct": 0.01}, "file")
    with pytest.raises(ValueError, match=r"file: the entry 'image_size' is missing"):
        read_preprocessing({}, "file")


@pytest.mark.parametrize(
    ("options", "image_size", "said"),
    [
        ({"depths": (200, 200, 200, 1)}, 32, "601 blocks"),
        ({"patch_size": 1, "image_size": 16_384}, 32, "edges of one image"),
        ({"patch_size": 1}, 16_384, "edges of one image"),
        ({"graph": "complete"}, 1024, "262144 patches with 262144 neighbors"),
        ({"k": (1, 4096)}, 512, "edges of one image"),
    ],
)
def test_too_large_a_graph_is_refused(options, image_size, said):
    with pytest.raises(ValueError, match=f"file describes .*{said}"):
        check_size(PYRAMID_VIG_VARIANTS["micro"].override(options), image_size, "file")


def test_weights_must_be_as_many_as_the_model_has(tmp_path):
    (tmp_path / "weights").write_bytes(b"x" * 1000)
    check_weights_hold(lambda: nn.Linear(99, 10, bias=False), tmp_path / "weights", "file")
    before = torch.empty(1).device
    with pytest.raises(
        ValueError, match=r"file describes a model with 1000000000000 parameters, but .*weights has only 1000 bytes"
    ):
        check_weights_hold(lambda: nn.Linear(10**6, 10**6, bias=False), tmp_path / "weights", "file")
    assert torch.empty(1).device == before
