import random

import pytest
import torch
import torch.nn.functional as F

from tests.fake_gpu import fake_gpu
from vig_pyg.ops import average_pool
from vig_pyg.ops.average_pool import _of_any_size, _WholeCells

_RNG = random.Random(0)
CASES = [
    (_RNG.randint(1, 3), _RNG.randint(1, 9), _RNG.randint(1, 4), _RNG.randint(1, 4), _RNG.randint(1, 4))
    for _ in range(12)
]


@pytest.mark.parametrize(("images", "channels", "height", "width", "ratio"), CASES)
def test_the_gradient_of_whole_cells_is_that_of_torch(images, channels, height, width, ratio):
    x = torch.randn(images, channels, height * ratio, width * ratio, dtype=torch.float64)
    one, two = (x.contiguous(memory_format=torch.channels_last).requires_grad_() for _ in range(2))
    found, want = _WholeCells.apply(one, ratio), F.avg_pool2d(two, ratio)
    assert torch.equal(found, want)
    weight = torch.randn_like(want)
    (found * weight).sum().backward()
    (want * weight).sum().backward()
    torch.testing.assert_close(one.grad, two.grad)
    assert one.grad.is_contiguous(memory_format=torch.channels_last)
    torch.autograd.gradgradcheck(lambda part: _WholeCells.apply(part, ratio).square(), one)


@pytest.mark.parametrize(("size", "whole"), [((4, 6), True), ((5, 6), False), ((4, 7), False)])
def test_a_gpu_takes_this_gradient_for_whole_cells_alone(size, whole):
    with fake_gpu(None):
        x = torch.empty(2, 8, *size, device="cuda", requires_grad=True)
        out = average_pool(x, 2)
        assert ("WholeCells" in str(out.grad_fn)) is whole
        assert out.shape == (2, 8, -(-size[0] // 2), -(-size[1] // 2))
        assert average_pool(x.detach(), 2).grad_fn is None


@pytest.mark.parametrize("seed", range(20))
def test_pooling_of_open_sizes_is_that_of_known_ones(seed):
    torch.manual_seed(seed)
    height, width, ratio = (int(torch.randint(1, most, ())) for most in (12, 12, 6))
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    want = torch.nn.functional.avg_pool2d(x, ratio, ceil_mode=True)
    torch.testing.assert_close(_of_any_size(x, ratio), want, rtol=0, atol=1e-13)
