"""A residual branch as one function, in Triton's interpreter where there is no GPU, beside the plain layers."""

import copy
import sys

import pytest
import torch
from torch import nn

from tests.ops.gpu_norm import DEVICE, interpreted, use_gpu_steps
from vig_pyg.layers import FFN, LinearNorm, multi_head_mlp
from vig_pyg.ops import mlp
from vig_pyg.ops._recomputed_branch import RecomputedBranch

MODULE = sys.modules["vig_pyg.ops.mlp"]


@pytest.fixture
def branches(monkeypatch):
    """The function of GPUs, also on a CPU, where the other conditions hold."""
    taken = []

    def is_one_branch(x, residual, last):
        taken.append(residual)
        return last.training and x.dtype is not torch.float64

    monkeypatch.setattr(MODULE, "_is_one_branch", is_one_branch)
    use_gpu_steps(monkeypatch)
    with interpreted():
        yield taken


def branch(channels, width, heads):
    layers = nn.ModuleList([multi_head_mlp(channels, width, heads), LinearNorm(width, 16)]).to(DEVICE)
    for norm in (layers[0][1], layers[1][1]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    for linear in (layers[0][0], layers[1][0]):
        nn.init.normal_(linear.bias)
    return layers.train()


def _gradients(layers, out, weight, x, other=None):
    (out * weight.to(out.dtype)).sum().backward()
    found = {"out": out.detach(), "x": x.grad} | {name: p.grad for name, p in layers.named_parameters()}
    found |= {name: value for name, value in layers.state_dict().items() if "running" in name}
    return found | ({} if other is None else {"residual": other.grad}), out.grad_fn


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("residual", ["none", "x", "other"])
def test_it_equals_the_plain_layers_in_float64(branches, seed, residual):
    rng = torch.Generator().manual_seed(seed)
    heads = 1 + 3 * (seed % 2)
    rows = int(torch.randint(2, 400, (), generator=rng, device="cpu")) if seed else 3
    channels = 16 if residual == "x" else 8 * int(torch.randint(1, 5, (), generator=rng, device="cpu"))
    width = 8 * heads * int(torch.randint(1, 4, (), generator=rng, device="cpu"))
    layers = branch(channels, width, heads)
    x, other, weight = (torch.randn(rows, size, generator=rng, device="cpu").to(DEVICE) for size in (channels, 16, 16))
    found = []
    for dtype in (torch.float32, torch.float64):
        mine, nodes = copy.deepcopy(layers).to(dtype), x.clone().to(dtype).requires_grad_()
        second = other.clone().to(dtype).requires_grad_()
        out = mlp(nodes, *mine, residual={"none": None, "x": nodes, "other": second}[residual])
        found.append(_gradients(mine, out, weight, nodes, second if residual == "other" else None))
    (first, node), (wanted, plain) = found
    assert type(node) is RecomputedBranch._backward_cls and type(plain) is not RecomputedBranch._backward_cls
    assert first.keys() == wanted.keys() and all(value is not None for value in first.values())
    for name, value in wanted.items():
        size = float(value.abs().max()) + 1
        torch.testing.assert_close(
            first[name].double(), value.double(), rtol=1e-4, atol=5e-5 * size, msg=lambda m, name=name: f"{name}: {m}"
        )
    for name in ("0.0.bias", "1.0.bias"):  # a norm follows
        assert not first[name].any() and first[name].dtype == torch.float32


@pytest.mark.parametrize("residual", [False, True])
def test_half_precision_is_that_of_autocast(branches, residual):
    """Weights and nodes are converted once; the sum with a residual in float32 is in float32."""
    layers, x = branch(16, 32, 1), torch.randn(100, 16, device=DEVICE)
    exact, nodes = copy.deepcopy(layers).double(), x.double().requires_grad_()
    want = mlp(nodes, *exact, residual=nodes if residual else None)
    weight = torch.randn_like(want)
    wanted = _gradients(exact, want, weight, nodes)[0]
    half = x.clone().requires_grad_()
    parameters = [p for layer in (layers[0][0], layers[0][1], *layers[1]) for p in (layer.weight, layer.bias)]
    with torch.autocast(DEVICE, torch.bfloat16):
        norms = layers[0][1], layers[1][1]
        out = RecomputedBranch.apply(half, None, *parameters, norms, 1, residual)
    assert out.dtype == (torch.float32 if residual else torch.bfloat16)
    found = _gradients(layers, out, weight.float(), half)[0]
    for name, value in wanted.items():
        error = (found[name].double() - value).norm() / (value.norm() + 1)
        assert error < 0.05, name
        assert found[name].dtype == (out.dtype if name == "out" else torch.float32), name


def test_an_ffn_adds_its_input_itself(branches):
    ffn, x = FFN(16, 32).to(DEVICE), torch.randn(9, 16, device=DEVICE, requires_grad=True)
    batch = torch.zeros(9, dtype=torch.long, device=DEVICE)
    out = ffn(x, batch, 1)
    assert type(out.grad_fn) is RecomputedBranch._backward_cls and branches == [x]
    ffn.drop_path.p = 0.5  # something lies between
    assert type(ffn(x, batch, 1).grad_fn) is not RecomputedBranch._backward_cls and branches[1] is None
    ffn.drop_path.p = 0.0
    seen = []
    ffn.drop_path.register_forward_hook(lambda *_: seen.append(1))
    ffn(x, batch, 1)
    assert seen == [1]


def test_layers_that_others_see_are_called(monkeypatch):
    """A hook on the last norm: the first part alone is recomputed, and the residual is added behind."""
    monkeypatch.setattr("vig_pyg.ops._recomputable._has_kernels", lambda *_: True)
    layers, x = branch(16, 32, 1), torch.randn(9, 16, device="meta", requires_grad=True)
    layers = layers.to("meta")
    assert MODULE._is_one_branch(x, x, layers[1][1])
    assert not MODULE._is_one_branch(x, x.t().contiguous().t(), layers[1][1])
    assert not MODULE._is_one_branch(x, x.half(), layers[1][1])
    layers[1][1].register_forward_hook(lambda *_: None)
    assert not MODULE._is_one_branch(x, x, layers[1][1])
