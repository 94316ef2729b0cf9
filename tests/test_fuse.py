from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from vig_pyg import create_model
from vig_pyg.conv import CONVS
from vig_pyg.fuse import fuse
from vig_pyg.layers import FFN, LinearNorm, MultiHeadLinear
from vig_pyg.ops import grouped


def settled(name, **options):
    """A model whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=10, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return model.eval()


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("conv", CONVS)
def test_outputs_stay(name, conv):
    model = settled(name, conv=conv).double()
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(model.fuse()(images), model(images), rtol=1e-9, atol=1e-10)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_no_batch_norm_is_left_and_nothing_can_be_trained():
    fused = settled("pvig_micro").fuse()
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in fused.modules())
    assert not any(p.requires_grad for p in fused.parameters())
    assert not fused.training


@pytest.mark.parametrize("conv", ["edge", "sage"])
def test_fused_operators_make_no_messages(conv, monkeypatch):
    fused = settled("vig_micro", conv=conv).fuse()
    for grapher in fused.graphers():
        monkeypatch.setattr(grapher.conv, "message", None)
    with torch.no_grad():
        assert fused(torch.randn(2, 3, 32, 32)).isfinite().all()


def relative(got, want):
    return float((got.float() - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_bfloat16_autocast_gives_the_logits(name):
    """On a graph of places alone: neighbors by features would turn on rounding."""
    model = settled(name, graph="grid")
    fused, images = model.fuse(), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        want = model(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            got, unfused = fused(images), model(images)
    assert got.dtype == unfused.dtype == torch.bfloat16
    assert 0 < relative(got, want) < 0.05 > relative(unfused, want)


def test_the_function_takes_any_module():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(fuse(module)(x), module(x))


class Doubled(nn.Conv2d):
    """A layer of somebody's own."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, stride=2, dilation=2),
        Doubled(3, 4, 3),
    ],
)
def test_convolutions_of_any_kind_stay_what_they_are_under_autocast(layer):
    module, x = nn.Sequential(layer, nn.BatchNorm2d(4), nn.GELU()).eval(), torch.randn(2, 3, 9, 9)
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        torch.testing.assert_close(fuse(module)(x), module(x), rtol=0.05, atol=0.05)


class Reversed(nn.Module):
    """A module of somebody's own whose children are not called in their order."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.linear(self.norm(x)) @ self.linear.weight


class TwiceLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class TwiceConv(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def pruned(layer):
    """Its weight is made anew by a hook before each call."""
    prune.random_unstructured(layer, "weight", 0.5)
    return layer


def parametrized(layer):
    return nn.utils.parametrizations.weight_norm(layer)


def replaced(layer):
    layer.forward = lambda x: 2 * type(layer).forward(layer, x)
    return layer


def low_rank(layer):
    return nn.Sequential(layer, nn.Linear(16, 16))


@pytest.mark.parametrize("change", [pruned, parametrized, replaced, low_rank, "subclass", "no bias"])
@pytest.mark.parametrize("kind", ["linear", "heads", "convolution", "ffn", "grapher"])
def test_layers_that_somebody_changed_keep_their_batch_norm(change, kind):
    torch.manual_seed(0)
    linear, x, batch = kind != "convolution", torch.randn(12, 16), (torch.zeros(12, dtype=torch.long), 1)
    if kind == "heads" and change in ("subclass", "no bias"):
        return
    own = {"subclass": TwiceLinear, "no bias": partial(nn.Linear, bias=False)}.get(change)
    if kind == "linear":
        module = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.GELU())
    elif kind == "heads":
        module = nn.Sequential(MultiHeadLinear(16, 16, heads=2), nn.BatchNorm1d(16), nn.GELU())
    elif kind == "convolution":
        module, x = nn.Sequential(nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)), torch.randn(2, 16, 3, 3)
        own = {"subclass": TwiceConv, "no bias": partial(nn.Conv2d, bias=False)}.get(change)
        own = own and partial(own, kernel_size=1)
        if change is low_rank:
            return
    else:
        module = FFN(16, 16) if kind == "ffn" else LinearNorm(16, 16)
    parent = module.fc2 if kind == "ffn" else module
    parent[0] = change(parent[0]) if callable(change) else own(16, 16)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.bias)
    module.eval().requires_grad_(False)
    if change is replaced:  # a copy of the layer would call the original
        parent[0].forward = partial(_twice, type(parent[0]), parent[0].weight, parent[0].bias)
    args = (x, *batch) if kind == "ffn" and linear else (x,)
    want = module(*args)
    torch.testing.assert_close(fuse(module)(*args), want, rtol=1e-4, atol=1e-5)


def _twice(kind, weight, bias, x):
    if kind is nn.Conv2d:
        return 2 * nn.functional.conv2d(x, weight, bias)
    return 2 * grouped(x, weight, bias, x.size(1) // weight.size(1))


def test_children_of_a_module_of_your_own_are_not_joined():
    module, x = Reversed().eval(), torch.randn(5, 8)
    nn.init.normal_(module.norm.running_mean)
    torch.testing.assert_close(fuse(module)(x), module(x))


def test_another_norm_after_a_linear_layer_stays():
    module = LinearNorm(8, 16).eval()
    module[1] = nn.LayerNorm(16)
    nn.init.normal_(module[1].bias)
    x = torch.randn(5, 8)
    torch.testing.assert_close(fuse(nn.Sequential(module))(x), module(x))
