"""The kernel for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

import random

import pytest
import torch

from vig_pyg.ops import bias_gelu
from vig_pyg.ops._triton_bias_gelu import bias_gelu_

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_RNG = random.Random(0)
CASES = [(_RNG.randint(1, 400), 8 * _RNG.randint(1, 24), bool(i % 2), i % 3) for i in range(9)]


@pytest.mark.parametrize(("rows", "channels", "gelu", "kind"), CASES)
def test_it_equals_float64_up_to_one_rounding(rows, channels, gelu, kind):
    dtype = (torch.float32, torch.bfloat16, torch.float16)[kind]
    h, bias = 3 * torch.randn(rows, channels, device=DEVICE), torch.randn(channels, device=DEVICE)
    h, bias = h.to(dtype), bias.to(dtype)
    want = h.double() + bias.double()
    want = torch.nn.functional.gelu(want) if gelu else want
    bias_gelu_(h, bias, gelu=gelu)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(h.double(), want, rtol=eps, atol=2e-6)


def test_nothing_beyond_the_last_row_is_written_and_no_row_is_no_fault():
    memory = torch.full((9, 16), 7.0, device=DEVICE)
    bias_gelu_(memory[:5], torch.ones(16, device=DEVICE), gelu=False)
    assert (memory[:5] == 8).all() and (memory[5:] == 7).all()
    bias_gelu_(memory[:0], torch.ones(16, device=DEVICE), gelu=True)


@pytest.mark.parametrize(("shape", "size"), [((3, 12), 12), ((3, 16), 15)])
def test_shapes_that_do_not_fit_are_refused(shape, size):
    with pytest.raises(ValueError, match="multiple of 8, and a bias"):
        bias_gelu_(torch.zeros(shape, device=DEVICE), torch.zeros(size, device=DEVICE), gelu=True)


@pytest.mark.parametrize("shape", [(3, 12), (0, 16), (5, 16), (16, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_operator_takes_every_shape(shape, dtype):
    """What the kernel does not take is left to torch."""
    h = torch.randn(shape, device=DEVICE).to(dtype)
    h = h.t() if shape == (16, 5) else h
    bias = torch.randn(h.size(1), device=DEVICE).to(dtype)
    want = torch.nn.functional.gelu(h.double() + bias.double())
    bias_gelu._on_gpu(h, bias, True)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(h.double(), want, rtol=2 * eps, atol=4 * eps)  # torch rounds the sum, too
