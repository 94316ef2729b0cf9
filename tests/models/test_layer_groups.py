import pytest
import torch
from timm.models import group_parameters

from vig_pyg import create_model, list_models
from vig_pyg.models.layer_groups import layer_of


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("coarse", [False, True])
def test_groups_cover_the_model_in_order(name, coarse):
    model = create_model(name)
    groups = group_parameters(model, model.group_matcher(coarse=coarse))
    assert sum(map(len, groups.values())) == len(list(model.parameters()))
    expected = 1 + (5 if name == "pvig_micro" and not coarse else 4) + 1
    assert len(groups) == expected
    assert all(key.startswith(("stem.", "pos_embed.")) for key in groups[0])
    assert all(key.startswith("head.") for key in groups[expected - 1])


@pytest.mark.parametrize("name", list_models())
def test_every_registered_model_has_one_group_for_each_block(name):
    with torch.device("meta"):
        model = create_model(name)
    groups = {layer_of(key) for key, _ in model.named_parameters()}
    assert len(groups) == 1 + model.config.num_blocks + 1


def test_parts_of_a_larger_network_are_found():
    assert layer_of("backbone.body.stages.2.blocks.11.grapher.fc1.0.weight") == (1, 2, 11)
    assert layer_of("backbone.fpn.inner_blocks.0.0.weight") == (2,)
    assert layer_of("body.stem.0.weight") == layer_of("pos_embed.weight") == (0,)
