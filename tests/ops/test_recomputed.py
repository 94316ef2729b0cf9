import copy

import pytest
import torch
from torch import nn

from tests.ops.common import same
from vig_pyg import create_model, ops
from vig_pyg.layers import FFN, LinearNorm, multi_head_mlp
from vig_pyg.ops import RecomputedLinearNorm, RecomputedMLP, RecomputedNorm, mlp, tiled
from vig_pyg.ops._recomputed_branch import RecomputedBranch


@pytest.mark.parametrize("heads", [1, 4])
def test_an_mlp_equals_the_plain_layers(heads):
    layers = nn.ModuleList([multi_head_mlp(32, 64, heads), LinearNorm(64, 16)])
    assert same(layers, torch.randn(60, 32), lambda m, x: mlp(x, *m))[0] is RecomputedBranch._backward_cls
    layers[1][1].eval()  # a frozen norm is called itself
    assert same(layers, torch.randn(60, 32), lambda m, x: mlp(x, *m))[1] is RecomputedMLP._backward_cls


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_norm_adds_a_residual_that_gets_its_gradient(dtype):
    """The residual in float64 is wider than the nodes: then torch adds it."""
    layers = nn.ModuleList([multi_head_mlp(16, 32, 1), LinearNorm(32, 16)])
    x, other = torch.randn(16 * tiled.ROWS_A_CHANNEL, 16), torch.randn(16 * tiled.ROWS_A_CHANNEL, 16)
    residual = other.to(dtype).requires_grad_()
    out = mlp(x, *copy.deepcopy(layers), residual=residual)
    torch.testing.assert_close(out, residual + mlp(x, *copy.deepcopy(layers)), rtol=1e-5, atol=1e-5)
    assert out.dtype == dtype
    function = RecomputedBranch if x.is_cuda else RecomputedNorm  # there the whole branch is one function
    assert (type(out.grad_fn) is function._backward_cls) == (dtype == torch.float32)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    assert torch.equal(residual.grad, weight)


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


def in_bfloat16(module, x, plainly, monkeypatch):
    """Result and gradients of a step under autocast: by the functions of this package, or plainly by torch."""
    with monkeypatch.context() as patch:
        if plainly:
            patch.setattr("vig_pyg.ops._recomputable._has_kernels", lambda *_: False)
        one, nodes = copy.deepcopy(module), x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = one(nodes)
        (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        return {"out": out.detach(), "x": nodes.grad} | {name: p.grad for name, p in one.named_parameters()}


class Branch(nn.Module):
    """Layers of an MLP with or without a residual connection; a frozen last norm splits the branch."""

    def __init__(self, heads, residual, frozen):
        super().__init__()
        self.residual = residual
        self.layers = nn.ModuleList([multi_head_mlp(32, 64, heads), LinearNorm(64, 32)])
        for norm in (self.layers[0][1], self.layers[1][1]):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
        if frozen:
            self.layers[1][1].eval()

    def forward(self, x):
        return mlp(x, *self.layers, residual=x if self.residual else None)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("rows", [50, 3000])
def test_bfloat16_is_as_exact_as_plain_autocast(monkeypatch, rows, heads, residual, frozen):
    errors = {}
    for seed in range(4):
        torch.manual_seed(seed)
        module, x = Branch(heads, residual, frozen), torch.randn(rows, 32)
        exact, nodes = copy.deepcopy(module).double(), x.double().requires_grad_()
        out = exact(nodes)
        (out * torch.linspace(-1, 1, out.numel(), dtype=torch.double).view_as(out)).sum().backward()
        want = {"out": out.detach(), "x": nodes.grad} | {name: p.grad for name, p in exact.named_parameters()}
        ours, plain = (in_bfloat16(module, x, plainly, monkeypatch) for plainly in (False, True))
        for name, value in want.items():
            assert ours[name].dtype == plain[name].dtype, name
            found = torch.stack([(part[name].double() - value).norm() / (value.norm() + 1) for part in (ours, plain)])
            errors[name] = errors.get(name, 0) + found
    for name, (of_ours, of_plain) in errors.items():
        assert of_ours < 1.15 * of_plain + 1e-4, (name, of_ours, of_plain)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_a_training_step_in_bfloat16_is_as_exact_as_plain_autocast(monkeypatch, name):
    torch.manual_seed(0)
    model, images = create_model(name, num_classes=10), torch.rand(8, 3, 32, 32)
    exact = copy.deepcopy(model).double()
    out = exact(images.double())
    (out * torch.linspace(-1, 1, out.numel(), dtype=torch.double).view_as(out)).sum().backward()
    want = torch.cat([p.grad.flatten() for p in exact.parameters()])
    errors = []
    for plainly in (False, True):
        found = in_bfloat16(model, images, plainly, monkeypatch)
        grad = torch.cat([found[name].double().flatten() for name, _ in model.named_parameters()])
        errors.append(float((grad - want).norm() / want.norm()))
    assert errors[0] < 1.2 * errors[1]


def test_in_bfloat16_the_hidden_nodes_are_kept_but_not_their_activations():
    ffn, x = FFN(64, 256), torch.randn(1000, 64, requires_grad=True)
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        ffn(x, torch.zeros(1000, dtype=torch.long), 1)
    assert sum(t.numel() * t.element_size() for t in kept if len(t) == 1000) == 1000 * (64 + 256 + 64) * 2


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
