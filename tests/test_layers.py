import pytest
import torch
import torch.nn.functional as F

from vig_pyg.layers import (
    FFN,
    DropPath,
    LayerScale,
    LinearNorm,
    MultiHeadLinear,
    linear_layer,
    multi_head_mlp,
    reset_mlp,
)
from vig_pyg.testing import assert_parameters_get_gradients


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("nodes", [0, 1, 7])
def test_multi_head_linear_is_one_linear_map_a_head(heads, nodes):
    layer, x = MultiHeadLinear(8, 12, heads=heads).double(), torch.randn(nodes, 8, dtype=torch.float64)
    torch.nn.init.normal_(layer.bias)
    parts = zip(x.chunk(heads, dim=1), layer.weight.chunk(heads), layer.bias.chunk(heads), strict=True)
    want = torch.cat([F.linear(part, weight, bias) for part, weight, bias in parts], dim=1)
    torch.testing.assert_close(layer(x), want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("heads", [1, 4])
def test_multi_head_linear_is_a_grouped_1x1_convolution(heads):
    layer, x = MultiHeadLinear(8, 16, heads=heads), torch.randn(9, 8)
    want = F.conv2d(x.t()[None, :, :, None], layer.weight[..., None, None], layer.bias, groups=heads)
    torch.testing.assert_close(layer(x), want[0, ..., 0].t())


def test_gradients_of_heads():
    layer, x = MultiHeadLinear(8, 12, heads=4).double(), torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert assert_parameters_get_gradients(layer, x) > 0


@pytest.mark.parametrize(("widths", "heads"), [((8, 12), 3), ((8, 12), 8), ((8, 12), 0)])
def test_heads_must_divide_both_widths(widths, heads):
    with pytest.raises(ValueError, match=f"heads={heads} must divide in_channels=8 and out_channels=12: choose"):
        MultiHeadLinear(*widths, heads=heads)


def test_linear_norm_and_mlp_are_their_parts():
    x = torch.randn(6, 8)
    linear, mlp = LinearNorm(8, 16), multi_head_mlp(8, 16, heads=2)
    torch.testing.assert_close(linear(x), F.batch_norm(linear[0](x), None, None, training=True))
    torch.testing.assert_close(mlp(x), F.gelu(F.batch_norm(mlp[0](x), None, None, training=True)))
    assert mlp[0].heads == 2


def test_weights_start_kaiming_normal_with_zero_bias():
    layer = MultiHeadLinear(400, 600, heads=4)
    assert abs(layer.weight.std() / (2 / 100) ** 0.5 - 1) < 0.02  # a head sees 100 channels
    assert layer.bias.abs().max() == 0


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_linear_layer_is_that_of_torch_where_it_has_one_head(heads):
    torch.manual_seed(0)
    layer, after = linear_layer(8, 16, heads=heads), torch.rand(1)
    torch.manual_seed(0)
    other = MultiHeadLinear(8, 16, heads=heads)
    assert type(layer) is (torch.nn.Linear if heads == 1 else MultiHeadLinear)
    assert torch.equal(after, torch.rand(1))  # no random numbers but those of the weights
    for (name, value), (key, want) in zip(layer.state_dict().items(), other.state_dict().items(), strict=True):
        assert name == key and torch.equal(value, want)
    x = torch.randn(5, 8)
    assert torch.equal(layer(x), other(x)) and layer.weight.requires_grad


def test_a_linear_layer_is_made_on_the_device_and_in_the_type_of_the_context():
    with torch.device("meta"):
        assert linear_layer(8, 16).weight.is_meta and linear_layer(8, 16).bias.is_meta
    torch.set_default_dtype(torch.float64)
    try:
        assert linear_layer(8, 16).weight.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("heads", [1, 4])
def test_an_mlp_is_reset_to_what_it_starts_as(heads):
    mlp = multi_head_mlp(400, 600, heads=heads)
    torch.nn.init.ones_(mlp[0].weight)
    torch.nn.init.ones_(mlp[0].bias)
    reset_mlp(mlp) if heads == 1 else mlp[0].reset_parameters()
    assert abs(mlp[0].weight.std() / (2 * heads / 400) ** 0.5 - 1) < 0.02 and mlp[0].bias.abs().max() == 0
    other = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU())
    before = other[0].weight.clone()
    reset_mlp(other)
    assert torch.equal(other[0].weight, before)


def test_drop_path_drops_whole_images():
    batch = torch.arange(200).repeat_interleave(5)
    out = DropPath(0.4).train()(torch.ones(1000, 3), batch, 200).view(200, -1)
    assert (out == out[:, :1]).all()
    assert sorted(set(out[:, 0].tolist())) == pytest.approx([0, 1 / 0.6])
    assert 50 < (out[:, 0] == 0).sum() < 110


def test_drop_path_is_the_identity_in_evaluation_and_at_zero():
    x, batch = torch.rand(6, 2), torch.arange(2).repeat_interleave(3)
    assert DropPath(0.9).eval()(x, batch, 2) is x
    assert DropPath(0.0).train()(x, batch, 2) is x


@pytest.mark.parametrize("p", [-0.1, 1.0, 2])
def test_drop_path_wants_a_probability(p):
    with pytest.raises(ValueError, match=r"probability in \[0, 1\), got"):
        DropPath(p)


@pytest.mark.parametrize("training", [False, True])
def test_ffn_is_its_equation(training):
    ffn = FFN(8, 32).double().train(training)
    x = torch.randn(6, 8, dtype=torch.float64)

    def norm(y):
        return F.batch_norm(y, None, None, training=True) if training else y / (1 + 1e-5) ** 0.5

    want = x + norm(ffn.fc2[0](F.gelu(norm(ffn.fc1[0](x)))))
    torch.testing.assert_close(ffn(x, torch.zeros(6, dtype=torch.long), 1), want)


def test_ffn_drops_its_branch_an_image_at_a_time():
    ffn, x, batch = FFN(8, 32, drop_path=0.5).train(), torch.randn(40, 8), torch.arange(10).repeat_interleave(4)
    same = (ffn(x, batch, 10) == x).all(dim=1).view(10, 4)
    assert (same == same[:, :1]).all() and same.any() and not same.all()


def test_a_drop_path_that_is_left_out_is_missed_by_nobody():
    """Hooks of the layer, global hooks, subclasses and a replaced `forward` are told of a layer that drops nothing."""

    class Own(DropPath):
        pass

    assert DropPath(0.0).drops_nothing() and DropPath(0.5).eval().drops_nothing()
    assert not Own(0.0).drops_nothing() and not DropPath(0.5).drops_nothing()
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        layer = DropPath(0.0)
        handle = getattr(layer, register)(lambda *_: None)
        assert not layer.drops_nothing()
        handle.remove()
        assert layer.drops_nothing()
    layer.forward = lambda x, batch, num_graphs: x
    assert not layer.drops_nothing()
    seen, ffn = [], FFN(8, 16).eval()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    try:
        ffn(torch.randn(3, 8), torch.zeros(3, dtype=torch.long), 1)
    finally:
        handle.remove()
    assert seen.count(DropPath) == 1


def test_a_layer_scale_multiplies_the_branch_of_an_ffn():
    plain, scaled = FFN(8, 32).double().eval(), FFN(8, 32, layer_scale=0.25).double().eval()
    scaled.load_state_dict({**plain.state_dict(), "scale.gamma": torch.linspace(0.1, 0.8, 8).double()})
    x, batch = torch.randn(6, 8).double(), torch.zeros(6, dtype=torch.long)
    branch = plain(x, batch, 1) - x
    torch.testing.assert_close(scaled(x, batch, 1), x + branch * scaled.scale.gamma)
    assert LayerScale(3).gamma.tolist() == pytest.approx([1e-5] * 3)
