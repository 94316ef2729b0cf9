import copy

import pytest
import torch
from torch import nn

from tests.ops.common import same
from vig_pyg.layers import LinearNorm, MultiHeadLinear, multi_head_mlp
from vig_pyg.ops import batch_norm_gelu, has_native_kernels, linear_norm, mlp


@pytest.mark.parametrize("channels", [8, 12, 40])
@pytest.mark.parametrize("gelu", [nn.GELU(), None, nn.ReLU()])
def test_batch_norm_gelu_equals_its_layers(channels, gelu):
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    x = (2 * torch.randn(3, channels, 5, 4) + 1).contiguous(memory_format=torch.channels_last)
    exact = copy.deepcopy(norm).double()
    found, want = x.clone().requires_grad_(), x.double().requires_grad_()
    out, plain = batch_norm_gelu(found, norm, gelu), exact(want)
    plain = plain if gelu is None else gelu(plain)
    torch.testing.assert_close(out.double(), plain, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (plain * weight).sum().backward()
    torch.testing.assert_close(found.grad.double(), want.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var.double(), exact.running_var, rtol=1e-5, atol=1e-6)
    lean = channels % 8 == 0 and not isinstance(gelu, nn.ReLU)
    assert (
        "RecomputedNorm" in str(out.grad_fn.next_functions[0][0].next_functions)
    ) is lean or not has_native_kernels()


class Own(MultiHeadLinear):
    def forward(self, x):
        return 2 * super().forward(x)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def with_hook(layer):
    layer.register_forward_hook(lambda _, __, out: 2 * out)


def with_forward(layer):
    layer.forward = lambda x: 2 * type(layer).forward(layer, x)


@pytest.mark.parametrize("change", [with_hook, with_forward, None])
@pytest.mark.parametrize("which", ["first", "second", "alone"])
def test_layers_that_somebody_replaced_are_called(change, which):
    layers = nn.ModuleList([multi_head_mlp(16, 32, 4), LinearNorm(32, 16), LinearNorm(16, 24)]).train()
    parent = layers[("first", "second", "alone").index(which)]
    if change is None:
        one = isinstance(parent[0], nn.Linear)
        parent[0] = OwnLinear(*parent[0].weight.t().shape) if one else Own(16, 32, heads=4)
    else:
        change(parent[0])
    x = torch.randn(9, 16)
    run = (lambda: linear_norm(x, *layers[2])) if which == "alone" else (lambda: mlp(x, layers[0], layers[1]))
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (MultiHeadLinear, nn.Linear):
            original = kind.forward
            patch.setattr(kind, "forward", lambda self, x, run=original: calls.append(self) or run(self, x))
        run()
    assert parent[0] in calls


def test_an_mlp_with_another_gelu_is_called_as_it_is():
    layers = nn.ModuleList([multi_head_mlp(16, 32, 4), LinearNorm(32, 16)])
    layers[0][2] = nn.GELU("tanh")
    same(layers, torch.randn(40, 16), lambda m, x: mlp(x, *m))
    norm = nn.BatchNorm2d(8)
    x = torch.randn(2, 8, 3, 3).contiguous(memory_format=torch.channels_last)
    want = nn.GELU("tanh")(copy.deepcopy(norm)(x))
    torch.testing.assert_close(batch_norm_gelu(x.requires_grad_(), norm, nn.GELU("tanh")), want)


@pytest.mark.parametrize("alone", [False, True])
def test_heads_where_the_pass_knows_none_are_called(alone):
    layers = nn.ModuleList([multi_head_mlp(16, 32, 4), LinearNorm(32, 16), LinearNorm(16, 24)])
    layers[1][0], layers[2][0] = MultiHeadLinear(32, 16, heads=2), MultiHeadLinear(16, 24, heads=4)
    same(layers[2] if alone else layers[:2], torch.randn(40, 16), lambda m, x: m(x) if alone else mlp(x, *m))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("part", ["nodes", "layers", "bias"])
def test_nodes_and_layers_of_two_types_are_refused_as_by_the_layers(dtype, part):
    first, second = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU()), LinearNorm(16, 8)
    x = torch.randn(20, 8, requires_grad=True)
    if part == "nodes":
        x = x.detach().to(dtype).requires_grad_()
    for layer in (first[0], second[0]):
        if part == "layers":
            layer.to(dtype)
        elif part == "bias":
            layer.bias = nn.Parameter(layer.bias.detach().to(dtype))
    for call in (lambda: mlp(x, first, second), lambda: linear_norm(x, first[0], first[1])):
        with pytest.raises(RuntimeError, match="type"):
            call()
