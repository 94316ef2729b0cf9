import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.fake_gpu import Issued, fake_gpu, on_gpu
from tests.ops.common import same
from tests.ops.gpu_norm import DEVICE, interpreted, use_gpu_steps
from vig_pyg.layers import FFN, LinearNorm, multi_head_mlp
from vig_pyg.ops import (
    RecomputedLinearNorm,
    RecomputedMLP,
    RecomputedNorm,
    _gpu_batch_norm,
    batch_norm_gelu,
    mlp,
    tiled,
)
from vig_pyg.ops._gpu_batch_norm import GPUNorm, has_gpu_norm


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The passes of GPUs, also on a CPU."""
    use_gpu_steps(monkeypatch)
    monkeypatch.setattr(sys.modules["vig_pyg.ops.mlp"], "_is_one_branch", lambda *_: False)
    monkeypatch.setattr(tiled, "ROWS_A_CHANNEL", 10**9)
    with interpreted():
        yield


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize(("rows", "channels"), [(60, 32), (301, 16), (7, 8)])
def test_the_passes_equal_the_plain_layers(as_on_a_gpu, heads, rows, channels):
    layers = nn.ModuleList([multi_head_mlp(channels, 2 * channels, heads), LinearNorm(2 * channels, 16)])
    nn.init.normal_(layers[0][1].weight)
    nn.init.normal_(layers[0][0].bias)
    passes = same(layers, torch.randn(rows, channels), lambda m, x: mlp(x, *m))
    assert passes == [RecomputedNorm._backward_cls, RecomputedMLP._backward_cls]
    if heads == 1:
        (found, _) = same(LinearNorm(channels, 48), torch.randn(rows, channels), lambda m, x: m(x))
        assert found is RecomputedLinearNorm._backward_cls


def test_gradients_have_the_precision_of_float32(as_on_a_gpu):
    """To 1e-6 of their length. (Those of biases before a norm are 0, so that a share of each would say nothing.)"""
    ffn, x = FFN(32, 128), torch.randn(500, 32)
    exact = FFN(32, 128).double()
    exact.load_state_dict(ffn.state_dict())
    batch, weight = torch.zeros(500, dtype=torch.long), torch.randn(500, 32)
    found = []
    for layer, nodes in ((ffn, x.clone().requires_grad_()), (exact, x.double().requires_grad_())):
        (layer(nodes, batch, 1) * weight.to(nodes.dtype)).sum().backward()
        found.append(torch.cat([p.grad.double().flatten() for p in (nodes, *layer.parameters())]))
    assert (found[0] - found[1]).norm() <= 1e-6 * found[1].norm()


def test_a_step_issues_few_operators(as_on_a_gpu):
    ffn, x = FFN(32, 128).to(DEVICE), torch.randn(40, 32, device=DEVICE, requires_grad=True)
    batch = torch.zeros(40, dtype=torch.long, device=DEVICE)
    with Issued() as forward:
        out = ffn(x, batch, 1).sum()
    with Issued() as backward:
        out.backward()
    assert forward.counts["norm_statistics"] == forward.counts["norm_apply"] == 2
    assert forward.counts["mm"] + forward.counts["addmm"] == 2
    assert backward.counts["norm_backward"] == 2 and backward.counts["norm_apply"] == 1
    assert backward.counts["mm"] == 5  # the first layer's again, and two gradients of each


@pytest.mark.parametrize("gelu", [False, True])
def test_half_precision_is_rounded_at_the_end_only(as_on_a_gpu, gelu):
    """By one unit at most: the interpreter cuts where a GPU rounds."""
    norm, exact = nn.BatchNorm1d(32, device=DEVICE), nn.BatchNorm1d(32, device=DEVICE).double()
    x = torch.randn(200, 32, device=DEVICE).bfloat16()
    step = GPUNorm(x, norm, None, gelu=gelu)
    want = exact(x.double())
    want = functional.gelu(want) if gelu else want
    torch.testing.assert_close(step.apply(x).double(), want.detach(), rtol=2**-7, atol=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, in the interpreter
@pytest.mark.parametrize("bad", [torch.inf, torch.nan, 1.0])
def test_gradients_in_float16_that_overflow_reach_the_weights(as_on_a_gpu, bad, monkeypatch):
    """The scaler of gradients looks for them there, leaves out the step, and scales less."""
    monkeypatch.setattr("vig_pyg.ops._recomputable._has_kernels", lambda *_: True)  # CPUs have none for float16
    layers = nn.ModuleList([multi_head_mlp(16, 32, 1), LinearNorm(32, 16)])
    x, kinds, found = torch.randn(64, 16), [], []
    for way in (True, False):
        monkeypatch.setattr(sys.modules["vig_pyg.ops.mlp"], "can_recompute", lambda *_, way=way: way)
        one, nodes = copy.deepcopy(layers), x.clone().requires_grad_()
        with torch.autocast(DEVICE, torch.float16):
            out = mlp(nodes, *one)
        kinds.append(out.grad_fn.name())
        grad = torch.ones_like(out)
        grad[3, 5] = bad
        out.backward(grad)
        parts = {"x": nodes, **dict(one.named_parameters())}
        found.append({name: bool(part.grad.isfinite().all()) for name, part in parts.items()})
    norms = {"0.0.bias": True, "1.0.bias": True}  # the norms cancel these biases, whose gradients are 0
    assert kinds[0] == "RecomputedNormBackward" != kinds[1]
    assert found[0] | norms == found[1] | norms and all(found[0].values()) == (bad == 1)


def test_what_the_kernels_do_not_take_is_left_to_torch():
    norm, narrow = nn.BatchNorm1d(16), nn.BatchNorm1d(12)
    with fake_gpu(None):
        norm, x = on_gpu(norm), torch.empty(9, 16, device="cuda")
        assert has_gpu_norm(x, norm)
        assert has_gpu_norm(x.bfloat16(), norm) and has_gpu_norm(x.half(), norm)
        assert not has_gpu_norm(x.double(), norm)
        assert not has_gpu_norm(x[:1], norm)
        assert not has_gpu_norm(x[None], norm)
        assert not has_gpu_norm(torch.empty(9, 16, device="cpu"), norm)
        assert not has_gpu_norm(torch.empty(9, 12, device="cuda"), on_gpu(narrow))
        for elsewhere in (torch.zeros((), dtype=torch.long, device="cpu"), None):
            tracked, norm.num_batches_tracked = norm.num_batches_tracked, elsewhere
            assert not has_gpu_norm(x, norm)
            norm.num_batches_tracked = tracked
            assert has_gpu_norm(x, norm)
        norm.weight = nn.Parameter(norm.weight.detach().bfloat16())
        assert not has_gpu_norm(x.bfloat16(), norm)


@pytest.mark.parametrize(
    ("h", "factors", "out"),
    [
        ((9, 12), (4, 12), (9, 12)),
        ((1, 16), (4, 16), (1, 16)),
        ((9, 16), (3, 16), (9, 16)),
        ((9, 16), (4, 16), (8, 16)),
        ((9, 16), (4, 8), (9, 16)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(as_on_a_gpu, h, factors, out):
    h, factors, out = (torch.zeros(size, device=DEVICE) for size in (h, factors, out))
    with pytest.raises(ValueError, match="got"):
        torch.ops.vig_pyg.norm_apply(h, factors, out, True)
    with pytest.raises(ValueError, match="got"):
        torch.ops.vig_pyg.norm_backward(out, h, factors, out, True)


def test_statistics_of_another_width_are_refused(as_on_a_gpu):
    with pytest.raises(ValueError, match=r"vectors \(16,\).*got \(8,\)"):
        GPUNorm(torch.zeros(9, 16, device=DEVICE), nn.BatchNorm1d(8, device=DEVICE), None, gelu=False)


def test_maps_keep_their_shape_on_a_gpu():
    norm = nn.BatchNorm2d(16)
    with fake_gpu(torch.bfloat16):
        norm = on_gpu(norm)
        x = torch.empty(2, 16, 5, 4, device="cuda", dtype=torch.bfloat16, memory_format=torch.channels_last)
        out = batch_norm_gelu(x.requires_grad_(), norm, nn.GELU())
        assert out.shape == x.shape and out.dtype == x.dtype
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert "RecomputedNorm" in str(out.grad_fn.next_functions[0][0].next_functions)


@pytest.mark.parametrize("batches", [torch.zeros((), dtype=torch.long, device="meta"), torch.zeros(2, device=DEVICE)])
def test_a_number_of_batches_that_lies_elsewhere_is_refused(batches):
    h, part = torch.zeros(4, 16, device=DEVICE), torch.ones(16, device=DEVICE)
    with pytest.raises(ValueError, match="number of batches"):
        _gpu_batch_norm._statistics(h, part, part, None, part.clone(), part.clone(), batches, 0.1, 1e-5)
