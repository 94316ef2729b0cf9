import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from vig_pyg.ops import NodeNorm, has_node_norm


def batch_norm(channels):
    """A batch norm with numbers of its own, and the same in float64."""
    norm = nn.BatchNorm1d(channels, eps=1e-4)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    exact = nn.BatchNorm1d(channels, eps=1e-4).double()
    exact.load_state_dict(norm.state_dict())
    return norm, exact


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(
    ("rows", "channels"), [(2, 16), (15, 16), (17, 48), (1000, 192), (3, 8), (500, 40), (2001, 24)]
)
def test_equals_torch_in_float64(gelu, rows, channels):
    norm, exact = batch_norm(channels)
    h = 3 * torch.randn(rows, channels) + torch.randn(channels)
    grad = torch.randn(rows, channels)
    wide = h.double().requires_grad_()
    want = functional.gelu(exact(wide)) if gelu else exact(wide)
    want.backward(grad.double())
    step = NodeNorm.of(h, norm, gelu=gelu)
    step.update(norm, rows, torch.zeros(channels))
    torch.testing.assert_close(step.apply(h).double(), want.detach(), rtol=1e-5, atol=2e-6)
    weight, bias, _ = step.backward_(grad, h)
    scale = wide.grad.abs().max() + 1
    torch.testing.assert_close(grad.double(), wide.grad, rtol=1e-4, atol=float(1e-5 * scale))
    torch.testing.assert_close(weight.double(), exact.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bias.double(), exact.bias.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_mean.double(), exact.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), exact.running_var, rtol=1e-5, atol=1e-6)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("low_grad", [False, True])
@pytest.mark.parametrize(("rows", "channels"), [(5, 16), (17, 48), (1000, 192), (9, 8), (500, 40), (2001, 24)])
def test_bfloat16_equals_float64_but_for_its_rounding(gelu, low_grad, rows, channels):
    norm, exact = batch_norm(channels)
    h = (3 * torch.randn(rows, channels) + torch.randn(channels)).bfloat16()
    grad = torch.randn(rows, channels).to(torch.bfloat16 if low_grad else torch.float32)
    wide, given = h.double().requires_grad_(), grad.clone()
    want = functional.gelu(exact(wide)) if gelu else exact(wide)
    want.backward(grad.double())
    step = NodeNorm.of(h, norm, gelu=gelu)
    torch.testing.assert_close(step.mean.double(), wide.mean(0).detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(step.variance.double(), wide.var(0, correction=0).detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(step.apply(h).double(), want.detach(), rtol=2**-8, atol=2e-6)
    found, (weight, bias, offset) = step.backward(grad, h)
    assert found.dtype == torch.bfloat16 and torch.equal(grad, given) and not offset.any()
    scale = float(wide.grad.abs().max()) + 1
    torch.testing.assert_close(found.double(), wide.grad, rtol=2**-7, atol=2**-7 * scale)
    torch.testing.assert_close(weight.double(), exact.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bias.double(), exact.bias.grad, rtol=1e-4, atol=1e-4)
    if low_grad:
        step.backward_(grad, h)
        assert torch.equal(grad, found)


@pytest.mark.parametrize("channels", [16, 24])
@pytest.mark.parametrize(
    ("h_type", "residual_type"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.bfloat16, torch.bfloat16)],
)
def test_a_residual_is_added_before_the_result_is_rounded(channels, h_type, residual_type):
    h, residual = torch.randn(50, channels).to(h_type), torch.randn(50, channels).to(residual_type)
    step = NodeNorm.of(h, nn.BatchNorm1d(channels), gelu=False)
    want = residual.double() + h.double() * step.scale.double() + step.shift.double()
    out = step.apply(h, residual=residual)
    assert out.dtype == residual_type
    rounding = 2**-8 if residual_type is torch.bfloat16 else 1e-5
    torch.testing.assert_close(out.double(), want, rtol=rounding, atol=1e-6)
    assert torch.equal(step.apply(h, torch.empty_like(out), residual), out)
    wrong = torch.bfloat16 if h_type is torch.float32 else torch.float64
    with pytest.raises(ValueError, match=r"residual must be|out must be"):
        step.apply(h, residual=residual.to(wrong))


def test_every_bfloat16_is_read_and_rounded_as_torch_does():
    h = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).view(-1, 16)
    step = NodeNorm.of(torch.randn(9, 16).bfloat16(), nn.BatchNorm1d(16), gelu=False)
    step.scale.copy_(torch.linspace(-2, 2, 16).bfloat16())  # products of two of them are exact in float32
    step.shift.fill_(0)
    torch.testing.assert_close(step.apply(h), (h.float() * step.scale + 0).bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_gelu_over_its_whole_range():
    z = torch.cat([torch.linspace(-40, 40, 16 * 1000), torch.tensor([0.0, -0.0, 1e30, -1e30, 1e-30] + [0.0] * 11)])
    h = z.view(-1, 1).expand(-1, 16).contiguous()
    step = NodeNorm.of(h, nn.BatchNorm1d(16), gelu=True)
    step.scale.fill_(1)
    step.shift.fill_(0)
    want = functional.gelu(h.double())
    assert (step.apply(h).double() - want).abs().div(want.abs().clamp_min(1)).max() < 5e-7


def test_channels_far_from_zero_keep_their_variance():
    h = 1000 + 1e-2 * torch.randn(4000, 16)
    step = NodeNorm.of(h, nn.BatchNorm1d(16), gelu=False)
    torch.testing.assert_close(step.variance.double(), h.double().var(0, correction=0), rtol=1e-4, atol=0)


def test_results_in_place_are_the_same():
    h = torch.randn(50, 32)
    step = NodeNorm.of(h, nn.BatchNorm1d(32), gelu=True)
    want = step.apply(h)
    assert step.apply(h, out=h) is h
    assert torch.equal(h, want)


def test_what_the_kernels_do_not_take():
    x = torch.randn(5, 16)
    assert has_node_norm(x, 64)
    assert not has_node_norm(x, 28)
    assert has_node_norm(x.bfloat16(), 64)
    assert not has_node_norm(x.half(), 64)
    assert not has_node_norm(x.double(), 64)
    assert not has_node_norm(x[:1], 64)
    assert not has_node_norm(x.t(), 64)
    assert not has_node_norm(x.to("meta"), 64)


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm1d(8), nn.BatchNorm1d(24), nn.BatchNorm1d(16).double(), nn.BatchNorm1d(16, affine=False)],
)
def test_another_norm_is_refused(norm):
    with pytest.raises(ValueError, match=r"No kernel supports \(5, 16\)|weights|must be a contiguous tensor"):
        NodeNorm.of(torch.randn(5, 16), norm, gelu=True)


@pytest.mark.parametrize("channels", [0, 1, 4, 7, 9, 12, 20])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match="see `has_node_norm`"):
        NodeNorm.of(torch.randn(5, channels), nn.BatchNorm1d(16), gelu=False)


@pytest.mark.parametrize(
    "other",
    [torch.randn(5, 8), torch.randn(0, 16), torch.randn(16), torch.randn(5, 16).double(), torch.randn(16, 5).t()],
)
def test_tensors_of_other_shapes_are_refused(other):
    h = torch.randn(5, 16)
    step = NodeNorm.of(h, nn.BatchNorm1d(16), gelu=True)
    for call in (
        lambda: step.apply(other),
        lambda: step.apply(h, out=other),
        lambda: step.apply_with_slope_(other, h),
        lambda: step.apply_with_slope_(h, other),
        lambda: step.backward_(other, h),
        lambda: step.backward_(h, other),
    ):
        with pytest.raises(ValueError, match=r"must be a contiguous tensor|needs at least one node of 16 channels"):
            call()


def test_factors_stay_where_they_are():
    step = NodeNorm.of(torch.randn(5, 16), nn.BatchNorm1d(16), gelu=True)
    for name in ("mean", "rate", "scale", "shift", "gelu"):
        with pytest.raises(AttributeError, match=f"{name} of a NodeNorm cannot be set"):
            setattr(step, name, torch.zeros(2))
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied"):
            copied(step)
    with pytest.raises(ValueError, match=r"mean must be a contiguous tensor \(16,\)"):
        NodeNorm(torch.zeros(8), torch.ones(16), nn.BatchNorm1d(16), gelu=True)
    with pytest.raises(ValueError, match=r"variance must be a contiguous tensor \(16,\)"):
        NodeNorm(torch.zeros(16), torch.ones(1), nn.BatchNorm1d(16), gelu=True)
