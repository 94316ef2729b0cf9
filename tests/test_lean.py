import copy

import pytest
import torch
from torch import nn

from vig_pyg import create_model, lean
from vig_pyg.layers import FFN, LinearNorm, MultiHeadLinear, multi_head_mlp, two_maps
from vig_pyg.lean import LeanLinearNorm, LeanMLP, LeanNorm, takes_lean


def same(module, x, run):
    """Results, gradients and statistics in float32, as trained, and in float64, by the plain layers."""
    found = []
    for dtype in (torch.float32, torch.float64):
        one = copy.deepcopy(module).to(dtype)
        nodes = x.detach().clone().to(dtype).requires_grad_()
        out = run(one, nodes)
        weight = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
        (out * weight).sum().backward()
        grads = {name: parameter.grad for name, parameter in one.named_parameters()}
        statistics = {key: value for key, value in one.state_dict().items() if "running" in key}
        found.append(({"out": out.detach(), "x": nodes.grad, **grads, **statistics}, out.grad_fn))
    (first, node), (second, _) = found
    for key, value in second.items():
        size = float(value.abs().max()) + 1
        torch.testing.assert_close(
            first[key].double(), value, rtol=1e-4, atol=2e-5 * size, msg=lambda m, k=key: f"{k}: {m}"
        )
    return node


@pytest.mark.parametrize("heads", [1, 4])
def test_two_maps_equal_the_plain_layers(heads):
    layers = nn.ModuleList([multi_head_mlp(32, 64, heads), LinearNorm(64, 16)])
    node = same(layers, torch.randn(60, 32), lambda m, x: two_maps(x, *m))
    assert type(node) is LeanNorm._backward_cls
    assert type(node.next_functions[0][0]) is LeanMLP._backward_cls


def test_a_linear_map_and_its_norm_equal_the_plain_layers():
    node = same(LinearNorm(32, 48), torch.randn(60, 32), lambda m, x: m(x))
    assert type(node) is LeanLinearNorm._backward_cls


@pytest.mark.parametrize("heads", [2, 4])
def test_grouped_linear_has_the_gradients_of_its_heads(heads):
    same(MultiHeadLinear(16, 32, heads=heads), torch.randn(30, 16), lambda m, x: m(x))
    x = torch.randn(7, 8, dtype=torch.float64, requires_grad=True)
    layer = MultiHeadLinear(8, 12, heads=heads).double()
    torch.autograd.gradcheck(layer, x)
    torch.autograd.gradgradcheck(layer, x)


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
    assert sum(t.numel() for t in kept) < 3 * 1000 * 64  # the input, the result of both maps, weights


def watched(norm):
    norm.register_forward_hook(lambda *_: None)


def frozen(norm):
    norm.eval()


def cumulative(norm):
    norm.momentum = None


def bare(norm):
    norm.track_running_stats = False


@pytest.mark.parametrize("change", [watched, frozen, cumulative, bare])
def test_layers_that_were_changed_are_called_as_they_are(change):
    norm, x = nn.BatchNorm1d(32), torch.randn(9, 16)
    assert takes_lean(x, norm, [norm])
    change(norm)
    assert not takes_lean(x, norm, [norm])


def test_other_steps_are_left_to_torch():
    norm, x = nn.BatchNorm1d(32), torch.randn(9, 16)
    with torch.no_grad():
        assert not takes_lean(x, norm, [norm])
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_lean(x, norm, [norm])
    assert not takes_lean(x.double(), norm, [norm])
    assert not takes_lean(x, nn.SyncBatchNorm(32), [])
    answers = []
    torch.func.vmap(lambda part: answers.append(takes_lean(x, norm, [norm])) or part)(x)
    assert answers == [False]


def test_hooks_see_the_layers_of_an_ffn():
    ffn, seen = FFN(16, 64), []
    ffn.fc1.register_forward_hook(lambda *_: seen.append("fc1"))
    ffn(torch.randn(9, 16), torch.zeros(9, dtype=torch.long), 1)
    assert seen == ["fc1"]


def test_the_room_says_what_it_cannot_do():
    assert "once" in lean.__doc__
    ffn, x = FFN(16, 64), torch.randn(9, 16, requires_grad=True)
    out = ffn(x, torch.zeros(9, dtype=torch.long), 1)
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
