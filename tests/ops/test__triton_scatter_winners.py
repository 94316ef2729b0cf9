"""The kernels for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

import pytest
import torch

from vig_pyg.ops import _max_relative, _triton_scatter_winners
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


@pytest.mark.parametrize("in_order", [False, True])
def test_many_sources_fit_the_grid_of_a_launch(in_order, monkeypatch):
    """A GPU refuses more than 65,535 programs along the second and the third axis."""
    grids = []
    monkeypatch.setattr(_triton_scatter_winners, "launch", lambda _, grid, *args, **options: grids.append(grid))
    for n, num_src, channels, images in ((8, 2**23, 1, 1), (2**17, 2**16, 4, 2**15), (2, 4, 2**14, 2)):
        winners = torch.zeros(n, channels, dtype=winner_type(num_src // images))
        grad = torch.empty(n, 2 * channels, dtype=torch.bfloat16)
        scatter_winners(grad, winners, num_src, images, in_order=in_order)
    assert len(grids) == 3 + 3 * in_order
    assert all(x < 2**31 and max(y, z) < 2**16 for x, y, z in grids)


def test_edges_have_gradients_in_order_if_torch_is_told_to_be_deterministic(monkeypatch):
    """The mode may be switched on after the forward pass."""
    asked = []

    def scatter(*args, in_order):
        asked.append(in_order)
        return args[:2]

    monkeypatch.setattr(_triton_scatter_winners, "scatter_winners", scatter)
    monkeypatch.setattr(_max_relative, "_check_winners", lambda *_: None)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        for on in (True, False):
            torch.use_deterministic_algorithms(on)
            _max_relative._backward_gpu(torch.ones(3, 32), None, torch.zeros(3, 16, dtype=torch.int32), 4, True)
    finally:
        torch.use_deterministic_algorithms(before)
    assert asked == [True, False]


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
