"""The kernels for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

import pytest
import torch

from vig_pyg.ops._triton_scatter_winners import scatter_winners
from vig_pyg.ops._triton_tiles import Tuning
from vig_pyg.ops.rows import winner_type

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def by_hand(grad, winners, num_src, images):
    """In float64: what each target and each winner gets."""
    own, relative = grad.double().view(*winners.shape, 2).unbind(2)
    m = num_src // images
    image = torch.arange(len(winners)).view(-1, 1) // (len(winners) // images)
    won = (winners >= 0) & (winners.long() < m)
    to_src = torch.zeros(num_src + 1, winners.size(1), dtype=torch.float64)
    to_src.scatter_add_(0, torch.where(won, winners.long() + image * m, num_src), relative)
    return to_src[:-1], torch.where(won, own - relative, own)


@pytest.mark.parametrize("sizes", [(1, 20, 11), (3, 7, 5), (2, 3, 300)])
@pytest.mark.parametrize("channels", [1, 16, 70])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("in_order", [False, True])
def test_gradients_are_those_of_the_equation(sizes, channels, dtype, in_order):
    images, n, m = sizes
    for kind in {winner_type(m), torch.int32}:
        low = 0 if kind == torch.uint8 else -1
        winners = torch.randint(low, m + 2, (images * n, channels)).to(kind)
        grad = torch.randn(images * n, 2 * channels).to(dtype)
        tuning = Tuning(warps=2, passes=2)
        got = scatter_winners(grad.to(DEVICE), winners.to(DEVICE), images * m, images, in_order=in_order, tuning=tuning)
        tolerance = {"rtol": 1e-6, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
        for mine, want in zip(got, by_hand(grad, winners, images * m, images), strict=True):
            assert mine.dtype == dtype
            torch.testing.assert_close(mine.to(want.device).double(), want, **tolerance)


@pytest.mark.parametrize("in_order", [False, True])
def test_sums_are_taken_in_float32(in_order):
    winners, grad = torch.zeros(300, 16, dtype=torch.uint8), torch.ones(300, 32, dtype=torch.bfloat16)
    to_src, _ = scatter_winners(grad.to(DEVICE), winners.to(DEVICE), 1, in_order=in_order)
    assert to_src.eq(300).all()  # 256 in steps of bfloat16


def test_nothing_gives_nothing():
    for n, channels in ((0, 16), (4, 0)):
        to_src, to_dst = scatter_winners(
            torch.ones(n, 2 * channels).to(DEVICE), torch.zeros(n, channels, dtype=torch.uint8).to(DEVICE), 3
        )
        assert to_src.shape == (3, channels) and to_dst.shape == (n, channels) and not to_src.any()


def test_other_shapes_are_refused():
    winners, grad = torch.zeros(2, 16, dtype=torch.uint8), torch.ones(2, 32)
    cases = [(grad[:, 1:], winners, 3, 1), (grad[:1], winners, 3, 1), (grad, winners.long(), 3, 1)]
    cases += [(grad, winners, 3, 2), (grad, winners, 4, 0), (grad, winners.t().contiguous().t(), 3, 1)]
    for one, two, num_src, images in cases:
        with pytest.raises(ValueError, match="Contiguous winners"):
            scatter_winners(one.to(DEVICE), two.to(DEVICE), num_src, images)
