"""The kernels for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

import random

import pytest
import torch
from torch.nn import functional

from tests.ops.gpu_norm import DEVICE
from vig_pyg.ops._triton_batch_norm import MEAN, RATE, apply, backward, statistics

_RNG = random.Random(0)
#: Rows, channels, whether GELU follows, and the type; the first of several parts of a sum.
CASES = [(1000, 40, True, 0), (2, 8, False, 0), (3, 16, True, 1), (513, 72, False, 1), (300, 136, True, 2)]
CASES += [(_RNG.randint(2, 600), 8 * _RNG.randint(1, 20), bool(i % 2), i % 3) for i in range(7)]
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def case(rows, channels, dtype):
    """Features with a mean, a gradient, a norm's weight and bias, running statistics, all with numbers of their own."""
    h = 3 * torch.randn(rows, channels, device=DEVICE) + torch.randn(channels, device=DEVICE)
    grad = torch.randn(rows, channels, device=DEVICE)
    weight, bias, mean = torch.randn(3, channels, device=DEVICE).unbind()
    running = mean, torch.rand(channels, device=DEVICE), torch.tensor(4, device=DEVICE)
    return h.to(dtype), grad.to(dtype), weight, bias, running


@pytest.mark.parametrize(("rows", "channels", "gelu", "kind"), CASES)
def test_equals_torch_in_float64(rows, channels, gelu, kind):
    dtype = TYPES[kind]
    h, grad, weight, bias, running = case(rows, channels, dtype)
    wide, scale, shift = (part.double().requires_grad_() for part in (h, weight, bias))
    offset, moved = torch.randn(channels, device=DEVICE), [part.double() for part in running[:2]]
    z = functional.batch_norm(wide + offset, *moved, scale, shift, True, 0.2, 1e-4)
    want = functional.gelu(z) if gelu else z
    want.backward(grad.double())
    factors = statistics(h, weight, bias, offset, running, 0.2, 1e-4)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(running[0].double(), moved[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(running[1].double(), moved[1], rtol=1e-5, atol=1e-6)
    assert running[2].item() == 5
    out = torch.full_like(h, torch.nan)
    apply(h, factors, out, gelu=gelu)
    torch.testing.assert_close(out.double(), want.detach(), rtol=max(eps, 1e-5), atol=max(eps, 2e-6))
    assert torch.equal(h, h) and h.isfinite().all()
    apply(h.clone(), factors, copy := h.clone(), gelu=gelu)
    assert torch.equal(copy, out)
    found = torch.full_like(grad, torch.nan)
    totals = backward(grad, h, factors, found, gelu=gelu)
    again = backward(grad, h, factors, grad, gelu=gelu)  # in place
    assert torch.equal(grad, found) and torch.equal(again, totals)
    size = float((scale / wide.std(0, correction=0)).detach().abs().max()) + 1  # of few rows almost all of it cancels
    torch.testing.assert_close(grad.double(), wide.grad, rtol=max(eps, 1e-5), atol=max(eps, 1e-6) * size)
    torch.testing.assert_close(totals[0].double(), shift.grad, rtol=1e-5, atol=1e-5 * rows**0.5)
    torch.testing.assert_close(totals[1].double(), scale.grad, rtol=1e-5, atol=1e-5 * rows**0.5)


def test_results_in_place_are_the_same():
    h, _, weight, bias, running = case(50, 32, torch.float32)
    factors = statistics(h, weight, bias, None, running, 0.1, 1e-5)
    want = torch.empty_like(h)
    apply(h, factors, want, gelu=True)
    apply(h, factors, h, gelu=True)
    assert torch.equal(h, want)


def test_channels_far_from_zero_keep_their_variance():
    h, _, weight, bias, running = case(2000, 16, torch.float32)
    h = 1000 + 1e-2 * torch.randn(2000, 16, device=DEVICE)
    factors = statistics(h, weight, bias, None, running, 0.1, 1e-8).double()
    exact = h.double()
    torch.testing.assert_close(factors[MEAN], exact.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(factors[RATE].pow(-2) - 1e-8, exact.var(0, correction=0), rtol=1e-3, atol=0)


def test_nothing_beyond_the_last_row_is_written():
    memory = torch.full((9, 16), 7.0, device=DEVICE)
    h, grad, weight, bias, running = case(5, 16, torch.float32)
    factors = statistics(h, weight, bias, None, running, 0.1, 1e-5)
    apply(h, factors, memory[:5], gelu=False)
    assert (memory[5:] == 7).all() and (memory[:5] != 7).all()
    memory[:5] = grad
    backward(memory[:5], h, factors, memory[:5], gelu=True)
    assert (memory[5:] == 7).all()
