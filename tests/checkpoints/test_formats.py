import itertools

import pytest
import torch

from tests.parity import rule
from tests.weights.common import FAMILIES, FORMATS, drawn
from vig_pyg import vig_micro, weights


@pytest.mark.parametrize("name", [*rule.PUBLISHED, *rule.SMALL])
def test_official_keys_and_shapes_are_the_published_ones(name):
    with torch.device("meta"):
        state = weights.convert(rule.make_model(name), "official")
    want = {key: shape for key, shape in rule.manifest()[name] if not key.endswith("relative_pos")}
    assert {key: list(tensor.shape) for key, tensor in state.items()} == want


@pytest.mark.parametrize("format", FORMATS)
def test_formats_are_recognized(make, format):
    assert weights.detect_format(weights.convert(make(), format)) == format


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


SHAPES = [
    ("vig", {"depth": 1}),
    ("vig", {"depth": 12}),
    ("pvig", {"depths": (1, 1)}),
    ("pvig", {"depths": (2, 3, 1)}),
    ("pvig", {"depths": (1, 11)}),
    ("pvig", {}),
]


@pytest.mark.parametrize("conv", ["mr", "sage"])
@pytest.mark.parametrize(("one", "two"), [*itertools.product(FORMATS, FORMATS)])
@pytest.mark.parametrize(("family", "options"), SHAPES)
def test_names_go_there_and_back(family, options, one, two, conv):
    """Through any two formats, whatever the number of blocks: each tensor keeps its name, each format its form."""
    stages = len(options.get("depths", (0, 0, 0, 0)))
    widths = {"channels": (8,) * stages, "reduce_ratios": (1,) * stages} if family == "pvig" and options else {}
    with torch.device("meta"):
        model = FAMILIES[family](**options, **widths, conv=conv)
    want = {key: tensor.shape for key, tensor in model.state_dict().items()}
    first = weights.convert(model, one)
    again = weights.convert(weights.convert(first, two), "native")
    assert {key: tensor.shape for key, tensor in again.items()} == want
    assert list(weights.convert(weights.convert(first, two), one)) == list(first)
    assert weights.detect_format(first) == one


@pytest.mark.parametrize(
    ("format", "key", "twin"),
    [
        ("official", "prediction.4.bias", "head.fc2.bias"),
        ("official", "backbone.0.0.fc1.0.bias", "blocks.0.grapher.fc1.0.bias"),
        ("mmpretrain", "head.bn.weight", "head.norm.weight"),
    ],
)
def test_two_names_of_one_tensor_are_refused(format, key, twin):
    state = weights.convert(vig_micro(), format)
    state[twin] = state[key].clone()
    with pytest.raises(ValueError, match=f"contain {twin} twice, as {key} and as {twin}"):
        weights.convert(state, "native")


def test_an_unknown_layout_lists_the_valid_ones():
    with pytest.raises(ValueError, match="Unknown format 'timm': choose one of native, official, mmpretrain"):
        weights.convert(vig_micro(), "timm")


def test_what_is_no_state_dict_is_refused():
    with pytest.raises(
        TypeError, match=r"Expected a model or a state dict, got 'weights.pth': read a file with read_st"
    ):
        weights.convert("weights.pth", "native")
    with pytest.raises(
        ValueError, match=r"not weights of a Vision GNN: they have no pos_embed.weight, but conv1.weight"
    ):
        weights.convert({"conv1.weight": torch.zeros(1)}, "official")
