"""Terms of columns and rows in place of a bias, on every path: they are another form of the same bias."""

import pytest
import torch

from tests.ops.test__triton_knn import found
from vig_pyg.ops import _knn, _knn_max_relative, knn, knn_max_relative
from vig_pyg.ops._grid_bias import bias_rows, grid_bias
from vig_pyg.ops._knn_plain import knn_exported, knn_plain

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def problem(seed, *, m=None, dtype=torch.float32):
    """Features, terms, the width of the grid and the bias; whole numbers, so that every order of a sum is the same."""
    rng = torch.Generator().manual_seed(seed)
    draw = [int(torch.randint(1, high, (), generator=rng, device="cpu")) for high in (4, 6, 6, 20)]
    b, height, width, channels = draw
    m = m or int(torch.randint(3, 20, (), generator=rng, device="cpu"))
    x, y = (torch.randint(-3, 4, (b, count, channels), generator=rng, device="cpu") for count in (height * width, m))
    terms = torch.randint(-9, 10, ((1, b)[seed % 2], width + height, m), generator=rng, device="cpu").float()
    index = torch.arange(height * width, device="cpu")
    bias = terms[:, index % width] + terms[:, width + index // width]
    return x.to(DEVICE, dtype), y.to(DEVICE, dtype), terms.to(DEVICE), width, bias.to(DEVICE)


@pytest.mark.parametrize("seed", range(20))
def test_the_bias_is_the_sum_of_its_terms(seed):
    x, _, terms, width, bias = problem(seed)
    n = x.size(1)
    assert torch.equal(grid_bias(terms, width, 0, n), bias)
    start, stop = sorted(torch.randint(0, n + 1, (2,), device="cpu").tolist())
    assert torch.equal(grid_bias(terms, width, start, stop), bias[:, start:stop])
    assert bias_rows(n, terms, width) == (terms.size(1),)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_search_takes_the_terms(seed, dtype):
    x, y, terms, width, bias = problem(seed, dtype=dtype)
    k, step = min(3, y.size(1)), 1 + seed % 2
    want = knn(x, y, k, step=step, bias=bias)
    assert torch.equal(knn(x, y, k, step=step, bias=terms, grid_width=width), want)
    assert torch.equal(knn_plain(x, y, k, step, terms, False, "highest", width)[1], want[1])
    scores = [x.double() @ y.double().transpose(1, 2) + bias, want[0].view(*x.shape[:2], -1) % y.size(1)]
    for edges in (
        knn_plain(x, y, k, step, terms, False, "highest", width),
        knn_exported(x, y, k, step, terms, False, width),
    ):
        source = edges[0].view_as(scores[1]) % y.size(1)
        assert torch.equal(scores[0].gather(2, source), scores[0].gather(2, scores[1]))  # topk leaves ties in any order
    out = knn_max_relative(x, y, k, step=step, bias=terms, grid_width=width)
    assert torch.equal(out, knn_max_relative(x, y, k, step=step, bias=bias))


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_slices_of_a_large_search_get_their_part(rows, monkeypatch):
    monkeypatch.setattr("vig_pyg.ops._knn_plain.SCORE_BUDGET", rows * 7 * 8)
    for seed in range(5):
        x, y, terms, width, bias = problem(seed, m=7, dtype=torch.float64)
        terms = terms + torch.rand_like(terms)
        bias = grid_bias(terms, width, 0, x.size(1))
        want = knn_plain(x, y, 3, 1, bias, False)
        assert torch.equal(knn_plain(x, y, 3, 1, terms, False, "highest", width), want)


@pytest.mark.parametrize(
    ("seed", "m", "dtype"),
    [
        (0, 20, torch.float32),
        (1, 300, torch.float32),
        (2, 301, torch.bfloat16),
        *[
            pytest.param(seed, m, dtype, marks=pytest.mark.slow)
            for seed in range(3, 9)
            for m in (256, 257, 300)
            for dtype in (torch.float32, torch.bfloat16)
        ],
    ],
)
def test_the_kernels_for_gpus_take_the_terms(seed, m, dtype):
    x, y, terms, width, bias = problem(seed, m=m, dtype=dtype)
    for normalize in (False, True):
        want = found(x, y, 9, 2, bias, normalize=normalize)
        assert torch.equal(found(x, y, 9, 2, terms, normalize=normalize, grid_width=width), want)
    arguments = x, y, 9, 2, terms, True, "highest"
    out, winners = _knn_max_relative._on_gpu(*arguments, True, width)
    full, won = _knn_max_relative._on_gpu(*arguments[:4], bias, *arguments[5:], True)
    assert torch.equal(out, full) and torch.equal(winners, won)
    assert torch.equal(_knn._on_gpu(*arguments, width), _knn._on_gpu(*arguments[:4], bias, *arguments[5:]))


@pytest.mark.parametrize("m", [20, 300])
def test_the_kernels_for_gpus_take_terms_whose_rows_lie_apart(m):
    x, y, terms, width, _ = problem(4, m=m)
    want = found(x, y, 9, 2, terms, grid_width=width)
    wide = torch.cat([terms, torch.full_like(terms, 1e9)], dim=2)
    turned = terms.transpose(1, 2).contiguous().transpose(1, 2)
    for same in (wide[..., :m], turned, terms.repeat_interleave(2, 1)[:, ::2]):
        assert same.stride() != terms.stride()
        assert torch.equal(found(x, y, 9, 2, same, grid_width=width), want)
    one = terms[:, :1].expand_as(terms)  # all rows are one in memory
    assert torch.equal(found(x, y, 9, 2, one, grid_width=width), found(x, y, 9, 2, one.contiguous(), grid_width=width))


def test_gradients_with_terms_are_those_with_the_bias():
    x, y, terms, width, bias = problem(3)
    grads = []
    for options in ({"bias": terms, "grid_width": width}, {"bias": bias}):
        one, two = x.clone().requires_grad_(), y.clone().requires_grad_()
        out = knn_max_relative(one, two, 3, **options)
        grads.append(
            torch.autograd.grad((out * torch.arange(out.numel(), device=DEVICE).view_as(out)).sum(), (one, two))
        )
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("search", [knn, knn_max_relative])
def test_terms_that_do_not_fit_are_refused(search):
    x, y, terms = torch.zeros(2, 12, 3, device=DEVICE), torch.zeros(2, 5, 3, device=DEVICE), torch.zeros(1, 7, 5)
    terms = terms.to(DEVICE)
    assert len(search(x, y, 2, bias=terms, grid_width=3))
    for width in (5, -3):
        with pytest.raises(ValueError, match=f"grid_width={width} needs a bias, and a number of targets that it"):
            search(x, y, 2, bias=terms, grid_width=width)
    with pytest.raises(ValueError, match="got no bias"):
        search(x, y, 2, grid_width=3)
    for wrong in (terms[:, :6], terms[..., :4], torch.zeros(3, 7, 5, device=DEVICE), terms[:, :1]):
        with pytest.raises(ValueError, match=r"bias must have the shape \(1 or 2, 7, 5\)"):
            search(x, y, 2, bias=wrong, grid_width=3)


def test_the_operators_keep_torch_s_rules():
    x, y, terms, width, _ = problem(5)
    torch.library.opcheck(torch.ops.vig_pyg.knn.default, (x, y, 3, 1, terms, False, "highest", width))
    torch.library.opcheck(
        torch.ops.vig_pyg.knn_max_relative.default, (x, y, 3, 1, terms, False, "highest", True, width)
    )
