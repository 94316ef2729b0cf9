import pytest
import torch

from tests.common import empty
from tests.parity import rule
from tests.weights.common import LAYOUTS, copied, drawn, same
from vig_pyg import create_model, list_models, pvig_micro, vig_micro, weights


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", rule.PUBLISHED.values())
def test_round_trips_of_published_models_are_bit_identical(name, layout):
    model = drawn(empty(create_model, name))
    fresh = empty(create_model, name)
    weights.load_weights(fresh, weights.convert(model, layout))
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("conv", ["mr", "edge", "gin", "sage"])
def test_round_trips_of_every_operator(make, conv, layout):
    model, fresh = drawn(make(conv=conv)), make(conv=conv)
    weights.load_weights(fresh, weights.convert(model, layout))
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrapper", [*weights.WRAPPERS, None])
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_wrappers_and_prefix_come_off(make, layout, wrapper, prefix):
    model, fresh = drawn(make()), make()
    state = {prefix + key: tensor for key, tensor in weights.convert(model, layout).items()}
    weights.load_weights(fresh, {wrapper: state, "epoch": 3} if wrapper else state)
    assert same(fresh.state_dict(), model.state_dict())


def test_computed_tables_are_left_out():
    model, fresh = drawn(pvig_micro()), pvig_micro()
    state = weights.convert(model, "official") | {"backbone.0.0.relative_pos": torch.zeros(1, 256, 16)}
    weights.load_weights(fresh, state)
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".safetensors"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_files(make, tmp_path, suffix, layout):
    model, fresh, path = drawn(make()), make(), tmp_path / f"weights{suffix}"
    state = {key: tensor.contiguous() for key, tensor in weights.convert(model, layout).items()}
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    weights.load_weights(fresh, path if layout == "own" else str(path))
    assert same(fresh.state_dict(), model.state_dict())


def spoilt(model, **changes):
    """Our state dict with some entries changed; `None` takes one out."""
    state = copied(drawn(type(model)("micro"))) | changes
    return {key: tensor for key, tensor in state.items() if tensor is not None}


WRONG = {
    "missing": ({"head.fc1.bias": None}, "missing: head.fc1.bias"),
    "unexpected": ({"head.fc3.bias": torch.zeros(2)}, "unexpected: head.fc3.bias"),
    "shape": ({"head.fc2.bias": torch.zeros(10)}, r"head.fc2.bias has shape \(10,\), expected \(1000,\)"),
    "no tensor": ({"head.fc2.bias": 3.0}, "Expected a state dict of tensors, got other things at head.fc2.bias"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_state_dict_that_does_not_fit_is_refused_and_changes_nothing(make, case):
    model, (changes, message) = make(), WRONG[case]
    before = copied(model)
    with pytest.raises(ValueError, match=message):
        weights.load_weights(model, spoilt(model, **changes))
    assert same(model.state_dict(), before)


def test_all_faults_are_told_at_once():
    state = spoilt(vig_micro(), **{"head.fc1.bias": None, "extra": torch.zeros(1), "head.fc2.bias": torch.zeros(10)})
    with pytest.raises(ValueError, match=r"do not fit this ViG.*has shape.*missing: .*unexpected: extra"):
        weights.load_weights(vig_micro(), state)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("mine", "other"),
    [(mine, other) for mine in ("vig_micro", "pvig_micro", "vig_tiny") for other in list_models() if mine != other],
)
def test_weights_of_another_variant_are_named(mine, other, layout):
    model = create_model(mine)
    before = copied(model)
    with torch.device("meta"):
        foreign = create_model(other)
    with pytest.raises(ValueError, match=rf"do not fit this {type(model).__name__} \(they look like {other}\)"):
        weights.load_weights(model, weights.convert(foreign, layout))
    assert same(model.state_dict(), before)


def test_other_operators_weights_are_refused(make):
    with pytest.raises(ValueError, match=r"has shape|unexpected|missing"):
        weights.load_weights(make(conv="mr"), weights.convert(make(conv="gin"), "official"))


def test_precision_of_the_model_stays(make):
    model = make().double()
    weights.load_weights(model, make().state_dict())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
