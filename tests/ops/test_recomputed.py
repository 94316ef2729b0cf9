import copy

import pytest
import torch
from torch import nn

from tests.ops.common import same
from vig_pyg import create_model, ops
from vig_pyg.layers import FFN, LinearNorm, multi_head_mlp
from vig_pyg.ops import RecomputedLinearNorm, RecomputedMLP, RecomputedNorm, mlp


@pytest.mark.parametrize("heads", [1, 4])
def test_an_mlp_equals_the_plain_layers(heads):
    layers = nn.ModuleList([multi_head_mlp(32, 64, heads), LinearNorm(64, 16)])
    passes = same(layers, torch.randn(60, 32), lambda m, x: mlp(x, *m))
    assert passes == [RecomputedNorm._backward_cls, RecomputedMLP._backward_cls]


def test_a_linear_map_and_its_norm_equal_the_plain_layers():
    passes = same(LinearNorm(32, 48), torch.randn(60, 32), lambda m, x: m(x))
    assert passes[0] is RecomputedLinearNorm._backward_cls


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_a_training_step_equals_the_plain_one_in_float64(name):
    torch.manual_seed(0)
    model = create_model(name, num_classes=10)
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    grads = []
    for dtype in (torch.float32, torch.float64):
        one = copy.deepcopy(model).to(dtype)
        nn.functional.cross_entropy(one(images.to(dtype)), labels).backward()
        grads.append(torch.cat([p.grad.double().flatten() for p in one.parameters()]))
    assert (grads[0] - grads[1]).norm() < 1e-3 * grads[1].norm()


def test_only_the_input_is_kept():
    ffn, x = FFN(64, 256), torch.randn(1000, 64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ffn(x, torch.zeros(1000, dtype=torch.long), 1)
    assert max(t.numel() for t in kept) <= 1000 * 64
    assert sum(t.numel() for t in kept) < 3 * 1000 * 64  # the input, the result of both layers, weights


def test_hooks_see_the_layers_of_an_ffn():
    ffn, seen = FFN(16, 64), []
    ffn.fc1.register_forward_hook(lambda *_: seen.append("fc1"))
    ffn(torch.randn(9, 16), torch.zeros(9, dtype=torch.long), 1)
    assert seen == ["fc1"]


def test_the_room_says_what_it_cannot_do():
    assert "once" in ops.__doc__
    ffn, x = FFN(16, 64), torch.randn(9, 16, requires_grad=True)
    out = ffn(x, torch.zeros(9, dtype=torch.long), 1)
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
