import pickle

import pytest
import torch

from tests.common import empty
from tests.parity import rule
from vig_pyg import create_model, list_models, pvig_micro, vig_micro, weights

LAYOUTS = ["own", "official", "mmpretrain"]
FAMILIES = {"vig": vig_micro, "pvig": pvig_micro}


@pytest.fixture(params=FAMILIES)
def make(request):
    return FAMILIES[request.param]


def drawn(model):
    """The model with other numbers everywhere, in buffers too."""
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randint(9, tensor.shape)) if tensor.dtype == torch.long else tensor.uniform_(0.1, 1)
    return model


def copied(model):
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", [*rule.PUBLISHED, *rule.SMALL])
def test_official_keys_and_shapes_are_the_published_ones(name):
    with torch.device("meta"):
        state = weights.convert(rule.make_model(name), "official")
    want = {key: shape for key, shape in rule.manifest()[name] if not key.endswith("relative_pos")}
    assert {key: list(tensor.shape) for key, tensor in state.items()} == want


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
def test_layouts_are_recognised(make, layout):
    assert weights.detect_layout(weights.convert(make(), layout)) == layout


VIG_KEYS = {
    "pos_embed.weight": ("pos_embed", "backbone.pos_embed"),
    "stem.0.weight": ("stem.convs.0.weight", "backbone.stem.0.weight"),
    "blocks.2.grapher.fc1.0.weight": ("backbone.2.0.fc1.0.weight", "backbone.blocks.2.0.fc1.0.weight"),
    "blocks.1.grapher.conv.mlp.0.weight": (
        "backbone.1.0.graph_conv.gconv.nn.0.weight",
        "backbone.blocks.1.0.graph_conv.gconv.nn.0.weight",
    ),
    "blocks.3.ffn.fc2.1.running_mean": ("backbone.3.1.fc2.1.running_mean", "backbone.blocks.3.1.fc2.1.running_mean"),
    "head.fc1.weight": ("prediction.0.weight", "head.fc1.weight"),
    "head.norm.running_var": ("prediction.1.running_var", "head.bn.running_var"),
    "head.fc2.bias": ("prediction.4.bias", "head.fc2.bias"),
}
PYRAMID_KEYS = {
    "pos_embed.weight": ("pos_embed", "backbone.pos_embed"),
    "stem.3.bias": ("stem.convs.3.bias", "backbone.stem.3.bias"),
    "stages.0.blocks.0.ffn.fc1.0.bias": ("backbone.0.1.fc1.0.bias", "backbone.stages.0.0.1.fc1.0.bias"),
    "stages.1.downsample.0.weight": ("backbone.1.conv.0.weight", "backbone.stages.1.0.0.weight"),
    "stages.1.downsample.1.running_mean": ("backbone.1.conv.1.running_mean", "backbone.stages.1.0.1.running_mean"),
    "stages.2.blocks.1.grapher.fc2.0.bias": ("backbone.5.0.fc2.0.bias", "backbone.stages.2.2.0.fc2.0.bias"),
    "head.norm.weight": ("prediction.1.weight", "head.bn.weight"),
}


@pytest.mark.parametrize(
    ("family", "key"), [("vig", key) for key in VIG_KEYS] + [("pvig", key) for key in PYRAMID_KEYS]
)
def test_keys_and_shapes_by_hand(family, key):
    model = drawn(FAMILIES[family]())
    official, mmpretrain = (VIG_KEYS if family == "vig" else PYRAMID_KEYS)[key]
    own = model.state_dict()[key]
    assert torch.equal(weights.convert(model, "official")[official].view_as(own), own)
    assert torch.equal(weights.convert(model, "mmpretrain")[mmpretrain].view_as(own), own)


def test_linear_maps_are_1x1_kernels_but_for_the_head_of_mmpretrain():
    model = vig_micro()
    assert weights.convert(model, "official")["prediction.0.weight"].shape == (128, 64, 1, 1)
    assert weights.convert(model, "mmpretrain")["head.fc1.weight"].shape == (128, 64)
    assert weights.convert(model, "mmpretrain")["backbone.blocks.0.0.fc1.0.weight"].shape == (64, 64, 1, 1)


def test_an_unknown_layout_lists_the_valid_ones():
    with pytest.raises(ValueError, match="Unknown layout 'timm': choose one of own, official, mmpretrain"):
        weights.convert(vig_micro(), "timm")


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


class Payload:
    """What a hostile file would hold: code that runs while it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, protocol=2))])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, save):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    save({"state_dict": Payload(trace)}, path)
    model = vig_micro()
    before = copied(model)
    with pytest.raises(ValueError, match=r"weights.pth holds more than tensors, or is damaged"):
        weights.load_weights(model, path)
    assert not trace.exists() and same(model.state_dict(), before)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", ["empty", "text", "half"])
def test_a_damaged_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    save = torch.save if suffix == ".pth" else pytest.importorskip("safetensors.torch").save_file
    save(vig_micro().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"not weights at all", "half": whole[: len(whole) // 2]}[content])
    with pytest.raises(ValueError, match=f"weights{suffix} holds more than tensors, or is damaged"):
        weights.load_weights(vig_micro(), path)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list.pth holds a list, expected a state dict"):
        weights.load_weights(vig_micro(), tmp_path / "list.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file of weights at .*nothing.pth"):
        weights.load_weights(vig_micro(), tmp_path / "nothing.pth")


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


@pytest.mark.parametrize("state", [{}, {"state_dict": {}}])
def test_an_empty_state_dict_is_refused(make, state):
    with pytest.raises(ValueError, match="Expected a state dict of tensors, got an empty one"):
        weights.load_weights(make(), state)


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
