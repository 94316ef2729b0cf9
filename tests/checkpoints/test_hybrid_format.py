import logging

import pytest
import torch

from tests.parity.family import rule
from vig_pyg import create_model, weights
from vig_pyg.checkpoints.hybrid_format import hybrid_names, hybrid_native_names, hybrid_style

NAMES = [*rule.PUBLISHED, *rule.SMALL]


def family(name):
    return name.removeprefix("small_").split("_")[0]


@pytest.mark.parametrize("name", NAMES)
def test_official_keys_and_shapes_are_the_published_ones(name):
    with torch.device("meta"):
        model = rule.make_model(name)
        published = {key: torch.empty(shape) for key, shape in rule.manifest()[name]}
    state = weights.convert(model, "official")
    assert {key: list(tensor.shape) for key, tensor in state.items()} == dict(rule.manifest()[name])
    assert hybrid_style(published) == family(name)
    names = hybrid_native_names(published)
    assert set(names.values()) == set(model.state_dict())
    assert {ours: theirs for theirs, ours in names.items()} == hybrid_names(model.state_dict(), family(name))


@pytest.mark.parametrize("name", rule.SMALL)
@pytest.mark.parametrize("plain", [False, True])
def test_there_and_back(name, plain):
    state = rule.official_state(name)
    model = rule.make_model(name)
    weights.load_weights(model, state)
    own = model.state_dict()
    again = weights.convert(dict(own) if plain else own, "official")  # a plain dict records no configuration
    assert set(again) == set(state) and all(torch.equal(again[key], state[key]) for key in state)
    with pytest.raises(ValueError, match="mmpretrain has no format for"):
        weights.convert(model, "mmpretrain")


@pytest.mark.parametrize("name", rule.SMALL)
@pytest.mark.parametrize("seed", range(20))
def test_weights_that_are_not_whole_are_refused(name, seed):
    state = rule.official_state(name)
    generator = torch.Generator().manual_seed(seed)
    key = list(state)[int(torch.randint(len(state), (), generator=generator))]
    if seed % 3 == 0:
        del state[key]
    elif seed % 3 == 1:
        state[f"{key}.more"] = state[key]
    else:
        state[key] = torch.cat([state[key].reshape(-1), torch.zeros(1, dtype=state[key].dtype)])
    model = rule.make_model(name)
    before = {one: value.clone() for one, value in model.state_dict().items()}
    with pytest.raises(ValueError):
        weights.load_weights(model, state)
    assert all(torch.equal(before[one], value) for one, value in model.state_dict().items())


@pytest.mark.parametrize("name", rule.SMALL)
def test_a_model_with_one_last_layer_gets_the_mean_of_both(name, caplog):
    state, two = rule.official_state(name), rule.make_model(name)
    weights.load_weights(two, state)
    one = create_model(two.config, distillation=False).double()
    with caplog.at_level(logging.WARNING):
        report = weights.load_weights(one, state)
    assert "their mean was loaded" in str(report) and "their mean was loaded" in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(one.eval()(rule.images(64, 64)), two.eval()(rule.images(64, 64)))
    other = create_model(two.config, num_classes=3).double()
    assert "The file has 10 classes, the model 3" in str(weights.load_weights(other, state))
    assert "fc_dist" in " ".join(weights.load_weights(other, state).left_out)


def test_weights_of_another_family_are_refused():
    for name in rule.SMALL:
        for other in rule.SMALL:
            if other != name:
                with pytest.raises(ValueError):
                    weights.load_weights(rule.make_model(name), rule.official_state(other))


@pytest.mark.parametrize("name", rule.SMALL)
def test_recorded_options_are_compared(name, tmp_path):
    model = rule.make_model(name)
    hops = tuple(2 * hop for hop in model.config.hops)
    with pytest.raises(ValueError, match="hops"):
        weights.load_weights(create_model(model.config, hops=hops).double(), model.state_dict())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("small_greedyvig", {"position_kernel": 1}),
        ("small_mobilevigv2", {"graph_depths": (1, 1, 1, 1)}),
        ("small_mobilevigv2", {"local_depths": (0, 0, 0, 0), "graph_depths": (1, 1, 1, 1)}),
        ("small_greedyvig", {"local_depths": (0, 0, 0, 0)}),
    ],
)
def test_networks_of_other_shapes_go_there_and_back(name, change):
    model = create_model(rule.SMALL[name].override(change), num_classes=3)
    again = create_model(rule.SMALL[name].override(change), num_classes=3)
    weights.load_weights(again, dict(weights.convert(model, "official")))
    own = model.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in again.state_dict().items())


def test_an_order_of_blocks_without_a_published_format_is_refused():
    model = create_model(rule.SMALL["small_mobilevig"], local_depths=(1, 1, 2, 1), graph_depths=(0, 1, 0, 1))
    with pytest.raises(ValueError, match="stores graph blocks after all other blocks"):
        weights.convert(model, "official")
