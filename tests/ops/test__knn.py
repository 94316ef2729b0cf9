import logging

import pytest
import torch
from torch.nn.functional import normalize

from vig_pyg.ops import _knn, _knn_plain, _native, has_native_kernels, knn, knn_max_relative, unit_rows
from vig_pyg.ops._knn import neighbors
from vig_pyg.ops._knn_plain import knn_plain


def expected(x, y, k, step, bias=None):
    """Edges by a stable sort in float64: best first, the smaller column first where scores tie."""
    x, y = x.double(), y.double()
    if bias is None:
        scores = -(x.unsqueeze(2) - y.unsqueeze(1)).square().sum(-1)
    else:
        scores = x @ y.transpose(1, 2) + bias.double()
    source = scores.sort(dim=-1, descending=True, stable=True).indices[..., :k:step]
    b, n, kept = source.shape
    source = source + torch.arange(b).view(b, 1, 1) * y.size(1)
    return torch.stack([source.flatten(), torch.arange(b * n).repeat_interleave(kept)])


def exact(*shape, seed=0):
    """Small whole numbers: every order of summation gives the same products."""
    return torch.randint(-3, 4, shape, generator=torch.Generator(torch.get_default_device()).manual_seed(seed)).float()


def scores_as_features(scores):
    """Targets and sources whose products are these scores `(b, n, m)` exactly: the sources are unit vectors."""
    return scores, torch.eye(scores.size(-1)).expand(scores.size(0), -1, -1)


@pytest.mark.parametrize("m", [1, 2, 15, 16, 17, 32, 33, 49, 196, 511, 1100])
@pytest.mark.parametrize("kind", ["normal", "ties", "constant", "ascending", "descending", "outlier"])
def test_selection_equals_a_stable_sort(m, kind):
    scores = torch.randn(2, 5, m, generator=torch.Generator(torch.get_default_device()).manual_seed(m))
    if kind == "ties":
        scores = scores.round()
    elif kind == "constant":
        scores = torch.zeros_like(scores)
    elif kind == "outlier":
        scores[..., m // 2] = 1e15
    elif kind != "normal":
        scores = scores.sort(dim=-1, descending=kind == "descending").values
    x, y = scores_as_features(scores)
    zero = torch.zeros(1, 1, m)
    for k in {1, min(2, m), min(9, m), min(17, m), min(54, m), min(100, m), min(600, m), m}:
        if x.is_cuda and k > 128 and kind in ("ties", "constant"):
            continue  # more than kernels for GPUs rank: `torch.topk` orders equal scores as it likes
        for step in (1, 2, 5):
            assert torch.equal(knn(x, y, k, step=step, bias=zero), expected(x, y, k, step, zero)), (k, step)


@pytest.mark.parametrize("bias", [None, (1, 1), (1, 50), (3, 1), (3, 50)])
@pytest.mark.parametrize("channels", [1, 5, 16, 33, 48])
@pytest.mark.parametrize("m", [9, 16, 40, 70])
def test_products_and_biases(bias, channels, m):
    x, y = exact(3, 50, channels), exact(3, m, channels, seed=1)
    bias = None if bias is None else exact(*bias, m, seed=2) + torch.rand(*bias, m)
    if bias is None:  # distances between whole numbers about a mean that is none: no ties, please
        x, y = torch.randn(3, 50, channels), torch.randn(3, m, channels)
    assert torch.equal(knn(x, y, 9, step=2, bias=bias), expected(x, y, 9, 2, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalised_features(dtype):
    x, y = torch.randn(2, 30, 24).to(dtype), torch.randn(2, 40, 24).to(dtype)
    bias = torch.rand(1, 30, 40)
    want = expected(normalize(x.double(), dim=-1), normalize(y.double(), dim=-1), 9, 1, bias)
    assert torch.equal(knn(x, y, 9, bias=bias, normalize=True), want)


@pytest.mark.parametrize("bias", [(1, 1), (1, 21), (3, 1), (3, 21)])
@pytest.mark.parametrize("channels", [1, 2, 7, 30, 32, 34, 66])
@pytest.mark.parametrize("m", [9, 16, 40, 70])
def test_features_in_bfloat16_have_the_neighbors_of_float64(bias, channels, m):
    x, y, bias = torch.randn(3, 21, channels).bfloat16(), torch.randn(3, m, channels).bfloat16(), torch.rand(*bias, m)
    scores = normalize(x.double(), dim=-1) @ normalize(y.double(), dim=-1).transpose(1, 2) + bias
    source, target = knn(x, y, 9, step=2, bias=bias, normalize=True).view(2, 3, 21, 5)
    assert torch.equal(target, torch.arange(63).view(3, 21, 1).expand(3, 21, 5))
    found = scores.gather(2, source - m * torch.arange(3).view(3, 1, 1))
    assert (found - scores.sort(dim=2, descending=True).values[..., :9:2]).abs().max() < 1e-6


@pytest.mark.parametrize("channels", [15, 16])
@pytest.mark.parametrize("size", [1e-20, 1e-12, 1e-6, 1e6, 1e12, 1e18])
def test_small_and_large_features_are_normalized(channels, size):
    x = (size * torch.randn(2, 30, channels)).bfloat16()
    x[0, 3] = 0
    bias = torch.rand(1, 1, 30)
    unit = x.double() / x.double().norm(dim=-1, keepdim=True).clamp(min=1e-12)
    assert torch.equal(knn(x, x, 9, bias=bias, normalize=True), expected(unit, unit, 9, 1, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sources_that_no_cache_holds(dtype):
    x, y, bias = torch.randn(2, 50, 520).to(dtype), torch.randn(2, 1030, 520).to(dtype), torch.rand(1, 50, 1030)
    scores = normalize(x.double(), dim=-1) @ normalize(y.double(), dim=-1).transpose(1, 2) + bias
    source = knn(x, y, 9, bias=bias, normalize=True)[0].view(2, 50, 9) - 1030 * torch.arange(2).view(2, 1, 1)
    assert (scores.gather(2, source) - scores.topk(9, dim=2).values).abs().max() < 1e-6


def test_features_close_together_keep_their_order():
    x = normalize(1 + 1e-2 * torch.randn(1, 196, 48), dim=-1)
    distance = (x[0].double()[:, None] - x[0].double()[None]).square().sum(-1)
    found = knn(x, x, 9)[0].view(196, 9)
    gap = distance.gather(1, found) - distance.sort(dim=1).values[:, :9]
    assert gap.abs().max() < 1e-9  # 1e-7 without taking the mean away


def test_an_image_does_not_depend_on_its_batch():
    x = torch.randn(4, 100, 48)
    whole = knn(x, x, 9, normalize=True).view(2, 4, -1)
    for i in range(4):
        assert torch.equal(knn(x[i : i + 1], x[i : i + 1], 9, normalize=True), whole[:, i] - 100 * i)


@pytest.mark.parametrize("budget", [1, 500, 40 * 9 * 8, 10**9])
@pytest.mark.parametrize("bias", [None, (1, 1), (1, 36), (3, 36)])
def test_slices_of_the_plain_path_change_nothing(monkeypatch, budget, bias):
    x, y = torch.randn(3, 36, 8, dtype=torch.float64), torch.randn(3, 9, 8, dtype=torch.float64)
    bias = None if bias is None else torch.randn(*bias, 9, dtype=torch.float64)
    monkeypatch.setattr(_knn_plain, "SCORE_BUDGET", budget)
    assert torch.equal(knn(x, y, 5, step=2, bias=bias), expected(x, y, 5, 2, bias))


def test_the_kernels_were_built_here():
    assert has_native_kernels()


def test_features_that_are_not_contiguous():
    x = torch.randn(1, 8, 40).transpose(1, 2)
    assert torch.equal(knn(x, x, 3), expected(x, x, 3, 1))


def test_without_the_library_the_result_is_the_same(monkeypatch):
    x = torch.randn(2, 50, 16)
    native = knn(x, x, 9, step=2, normalize=True)
    monkeypatch.setattr(_knn, "library", lambda: None)
    assert torch.equal(knn(x, x, 9, step=2, normalize=True), native)


def test_a_missing_library_is_logged_with_the_reason(monkeypatch, caplog):
    monkeypatch.setattr(_native, "EXTENSION_SUFFIXES", [".nowhere"])
    with caplog.at_level(logging.INFO):
        assert _native.library.__wrapped__() is None
    assert "without its native kernels" in caplog.text


@pytest.mark.parametrize(("k", "step"), [(0, 1), (6, 1), (2, 0)])
def test_wrong_numbers_are_refused(k, step):
    with pytest.raises(ValueError, match="k must be from 1 to 5"):
        knn(torch.randn(1, 2, 3), torch.randn(1, 5, 3), k, step=step)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("channels", "bias"), [(17, None), (17, torch.zeros(1, 1, 5)), (18, torch.zeros(1, 1, 5))])
def test_features_that_are_not_finite_are_named(dtype, value, channels, bias):
    x, y = torch.randn(3, 20, channels), torch.randn(3, 5, channels)
    bad_x, bad_y = x.clone(), y.clone()
    bad_x[1, 7, 16] = bad_x[2, 0, 0] = bad_y[2, 1, 3] = value
    with pytest.raises(ValueError, match=r"node 27 \(image 1 of the batch\) is not finite"):
        knn(bad_x.to(dtype), y.to(dtype), 3, bias=bias, normalize=True)
    with pytest.raises(ValueError, match=r"node 11 \(image 2 of the batch\) is not finite"):
        knn(x.to(dtype), bad_y.to(dtype), 3, bias=bias, normalize=True)
    with pytest.raises(ValueError, match=r"node 27 \(image 1 of the batch\)"):
        unit_rows(bad_x.flatten(0, 1).to(dtype), [20, 25, 15])


def test_a_zero_feature_stays_zero():
    assert unit_rows(torch.zeros(1, 3), [1]).eq(0).all()
    assert knn(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), 2, normalize=True).view(2, 4, 2)[0].tolist() == [[0, 1]] * 4


def test_is_a_registered_operator():
    arguments = torch.randn(2, 20, 4), torch.randn(2, 9, 4), 4, 2, torch.randn(1, 20, 9), True
    torch.library.opcheck(torch.ops.vig_pyg.knn.default, arguments)


def test_its_products_are_counted():
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        knn(torch.randn(2, 20, 4), torch.randn(2, 9, 4), 3)
    assert counter.get_total_flops() == 2 * 2 * 20 * 9 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    ("x", "y", "bias", "words"),
    [
        ((2, 4, 3), (1, 5, 3), None, "equal numbers of images and channels"),
        ((1, 4, 3), (1, 5, 4), None, "equal numbers of images and channels"),
        ((1, 4, 0), (1, 5, 0), None, "channels, at least 1,"),
        ((4, 3), (1, 5, 3), None, "x must have 3 dimensions"),
        ((1, 4, 3), (5, 3), None, "y must have 3 dimensions"),
        ((2, 4, 3), (2, 5, 3), (1, 1, 4), r"bias must have the shape \(1 or 2, 1 or 4, 5\)"),
        ((2, 4, 3), (2, 5, 3), (1, 3, 5), "bias must have the shape"),
        ((2, 4, 3), (2, 5, 3), (5,), "bias must have 3 dimensions"),
    ],
)
def test_other_shapes_are_refused(dtype, x, y, bias, words):
    x, y = torch.randn(x).to(dtype), torch.randn(y).to(dtype)
    for call in (knn, lambda x, y, k, bias: torch.ops.vig_pyg.knn(x, y, k, 1, bias, False)):
        with pytest.raises(ValueError, match=words):
            call(x, y, 2, bias=None if bias is None else torch.randn(bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_bias_of_nan_is_refused_and_one_of_minus_infinity_a_mask(dtype):
    x, bias = torch.randn(1, 4, 3).to(dtype), torch.zeros(1, 1, 4)
    bias[0, 0, 2] = -torch.inf
    assert not knn(x, x, 3, bias=bias)[0].eq(2).any()
    bias[0, 0, 1] = torch.nan
    with pytest.raises(ValueError, match="are NaN: the bias contains NaN"):
        knn(x, x, 3, bias=bias)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3)])
def test_no_targets_have_no_edges(dtype, shape):
    x = torch.randn(shape, dtype=dtype)
    assert knn(x, torch.randn(shape[0], 5, 3, dtype=dtype), 2).shape == (2, 0)


def test_a_step_beyond_all_ranks_takes_the_best():
    x = torch.randn(2, 9, 4)
    for step in (5, 2**40, 2**63 - 1):
        assert torch.equal(knn(x, x, 5, step=step), knn(x, x, 1))


def test_unit_rows_takes_rows_of_numbers():
    with pytest.raises(ValueError, match="x must have 2 dimensions"):
        unit_rows(torch.randn(3), [1])
    with pytest.raises(TypeError, match="floating-point"):
        unit_rows(torch.ones(3, 2, dtype=torch.long), [3])
    bad = torch.full((3, 2), torch.nan)
    for counts in ([0], [], [1, 1]):
        with pytest.raises(ValueError, match="node 0"):
            unit_rows(bad, counts)


@pytest.mark.parametrize(
    ("images", "n", "m", "k", "step"), [(2, 7, 12, 9, 2), (1, 1, 1, 1, 1), (0, 3, 5, 2, 1), (3, 4, 9, 3, 5)]
)
def test_neighbors_are_the_edges_sources_within_their_image(images, n, m, k, step):
    x, y, bias = torch.randn(images, n, 6), torch.randn(images, m, 6), torch.randn(1, n, m)
    found = neighbors(x, y, k, step=step, bias=bias, normalize=True, precision="highest")
    assert found.dtype == torch.int16 and found.shape == (images, n, -(-k // min(step, k)))
    edges = found + torch.arange(images).view(-1, 1, 1) * m
    assert torch.equal(edges.flatten(), knn(x, y, k, step=step, bias=bias, normalize=True)[0])


@pytest.mark.parametrize(("m", "dtype"), [(2**15, torch.int16), (2**15 + 1, torch.int32)])
def test_neighbors_number_as_many_sources_as_there_are(m, dtype):
    x, y = torch.ones(1, 1, 1), torch.arange(m).float().view(1, m, 1)
    found = neighbors(x, y, 1, step=1, bias=torch.zeros(1, 1, m), normalize=False, precision="highest")
    assert found.dtype == dtype and found.item() == m - 1


def test_the_kernels_for_gpus_take_as_many_images_as_a_grid_counts():
    pytest.importorskip("triton")
    images = torch.empty(1, 1, 1).expand(2**16, 1, 1)
    one = images[1:]
    assert _knn._kernels_for(one, one, 1) is not None and _knn._kernels_for(images, images, 1) is None


def test_the_kernels_for_gpus_take_as_many_sources_as_offsets_of_32_bits_reach():
    kernels = pytest.importorskip("vig_pyg.ops._triton_knn")
    x, most = torch.empty(1, 1, 1), kernels.MOST_SOURCES_OF_IMAGE
    y = torch.empty(1, 1, 1).expand(1, most + 1, 1)
    assert _knn._kernels_for(x, y[:, 1:], 1) is not None and _knn._kernels_for(x, y, 1) is None
    assert 63 * most < 2**31  # the last row of a tile of 64 targets


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("search", [knn, knn_max_relative, knn_plain])
def test_autocast_does_not_round_the_products_of_a_search(dtype, scaled, search):
    """It would where no kernel computes them: for float16 on CPUs, many neighbors on GPUs, and GPUs without kernels."""
    x = (1 + torch.rand(2, 60, 40) / 8).to(dtype)
    y, bias = (1 + torch.rand(2, 50, 40) / 8).to(dtype), torch.rand(1, 60, 50)
    found = []
    for enabled in (False, True):
        low = torch.float16 if dtype is torch.float16 else torch.bfloat16
        with torch.autocast(x.device.type, low, enabled=enabled):
            if search is knn_plain:
                found.append(knn_plain(x, y, 9, 1, bias, scaled))
            else:
                found.append(search(x, y, 9, bias=bias, normalize=scaled))
    assert torch.equal(*found)
