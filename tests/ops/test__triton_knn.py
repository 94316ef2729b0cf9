"""The kernel for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

import pytest
import torch

from tests.ops.test__knn import exact, expected, scores_as_features
from vig_pyg.ops._triton_knn import MOST_NEIGHBORS, _dense, neighbors

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def found(x, y, k, step, bias, normalize=False, **options):
    bias = None if bias is None else bias.to(DEVICE)
    options |= {"step": step, "bias": bias, "normalize": normalize}
    edges = neighbors(x.to(DEVICE), y.to(DEVICE), k, edges=True, **options).to(x.device)
    return edges


def each(*cases):
    """The first case always; the interpreter takes seconds for one, so the others at night."""
    return [cases[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in cases[1:])]


@pytest.mark.parametrize(
    ("m", "kind", "k", "step"),
    each(
        (70, "ties", 9, 2),
        *[(m, kind, min(9, m), 2) for m in (1, 3, 49, 64, 65, 130) for kind in ("normal", "ties", "constant")],
        *[(m, "ascending", min(MOST_NEIGHBORS, m), 1) for m in (1, 2, 49, 130)],
    ),
)
def test_selection_equals_a_stable_sort(m, kind, k, step):
    scores = torch.randn(1, 3, m, generator=torch.Generator(torch.get_default_device()).manual_seed(m))
    if kind == "ties":
        scores = scores.round()
    elif kind == "constant":
        scores = torch.zeros_like(scores)
    elif kind == "ascending":
        scores = scores.sort(dim=-1).values
    x, y = scores_as_features(scores)
    zero = torch.zeros(1, 1, m)
    assert torch.equal(found(x, y, k, step, zero), expected(x, y, k, step, zero))


@pytest.mark.parametrize(
    ("channels", "images", "rows"),
    each((33, 2, 20), *[(channels, images, rows) for channels in (1, 32, 48) for images in (1, 2) for rows in (1, 20)]),
)
def test_products_and_biases(channels, images, rows):
    x, y = exact(2, 20, channels), exact(2, 70, channels, seed=1)
    bias = exact(images, rows, 70, seed=2) + torch.rand(images, rows, 70)
    assert torch.equal(found(x, y, 18, 2, bias), expected(x, y, 18, 2, bias))


def test_minus_zero_is_zero():
    x, y = scores_as_features(torch.tensor([[[-0.0, 0.0, -0.0, 1.0]]]))
    assert found(x, y, 4, 1, torch.zeros(1, 1, 4))[0].tolist() == [3, 0, 1, 2]


@pytest.mark.slow
def test_many_nodes():
    x, y = torch.randn(1, 4, 16), torch.randn(1, 4096, 16)
    zero = torch.zeros(1, 1, 4096)
    assert torch.equal(found(x, y, 27, 3, zero), expected(x, y, 27, 3, zero))


@pytest.mark.parametrize(("m", "kind"), [(30, torch.int16), (300, torch.int16)])
def test_sources_within_the_image_are_those_of_the_edges(m, kind):
    x, y, bias = torch.randn(2, 7, 8), torch.randn(2, m, 8), torch.rand(1, 7, m)
    edges = found(x, y, 9, 2, bias, normalize=True)
    sources = neighbors(x.to(DEVICE), y.to(DEVICE), 9, step=2, bias=bias.to(DEVICE), normalize=True).to(x.device)
    assert sources.dtype == kind and sources.shape == (2, 7, 5)
    assert torch.equal((sources + torch.arange(2).view(2, 1, 1) * m).flatten(), edges[0])
    assert torch.equal(edges[1], torch.arange(14).repeat_interleave(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [(1, 1), (1, 20), (2, 20), None])
@pytest.mark.parametrize("m", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_normalised_features_of_every_type(dtype, bias, m):
    x, y = torch.randn(2, 20, 33).to(dtype), torch.randn(2, m, 33).to(dtype)
    bias = None if bias is None else torch.rand(*bias, m)
    unit, unit_y = (torch.nn.functional.normalize(part.double(), dim=-1) for part in (x, y))
    assert torch.equal(found(x, y, 9, 2, bias, normalize=True), expected(unit, unit_y, 9, 2, bias))


def unusual(kind, n, m, rng):
    """Targets, sources and a bias that leave the beaten path."""
    x, y = (torch.randint(-3, 4, (1, count, 24), generator=rng).float() for count in (n, m))
    bias = torch.rand(1, n, m, generator=rng)
    if kind == "masked":
        bias[torch.rand(1, n, m, generator=rng) > 0.3] = -torch.inf
    elif kind == "all masked":
        bias[:] = -torch.inf
    elif kind in ("outlier", "far outlier", "low outlier", "infinite"):
        bias[..., m // 2] = {"outlier": 9.0, "far outlier": 1e6, "low outlier": -1e30, "infinite": torch.inf}[kind]
    elif kind == "zeros":
        x[:, ::3], y[:, ::4] = 0, 0
    elif kind == "duplicates":  # the bias too: equal scores keep the order of the sources
        source = torch.arange(m) % (m // 2)
        y, bias = y[:, source], bias[..., source]
    elif kind == "blank":
        x, y, bias = torch.ones_like(x), torch.ones_like(y), torch.zeros_like(bias)
    elif kind == "long and short":
        x, y = x * 2.0**-20, y * 2.0**20
    return x, y, bias


KINDS = ["masked", "all masked", "outlier", "far outlier", "low outlier", "infinite", "zeros", "duplicates", "blank"]


@pytest.mark.parametrize(
    ("dtype", "sizes"),
    [
        (torch.float32, (9, 100)),
        (torch.bfloat16, (64, 256)),
        pytest.param(torch.float32, (64, 256), marks=pytest.mark.slow),
        pytest.param(torch.bfloat16, (9, 100), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", [*KINDS, "long and short"])
def test_unusual_scores_keep_their_order(kind, dtype, sizes):
    rng = torch.Generator(torch.get_default_device()).manual_seed(3)
    for m in sizes:
        x, y, bias = unusual(kind, 6, m, rng)
        # float32 features are multiplied as they are, whole numbers then tie exactly; those in 16 bits are normalized
        unit = dtype == torch.bfloat16
        a, b = (torch.nn.functional.normalize(part.double(), dim=-1) if unit else part for part in (x, y))
        k = min(m, MOST_NEIGHBORS)
        scores = (a.double() @ b.double().transpose(1, 2) + bias)[0]
        scores = scores.mul(1e9).round()  # equal sources have equal scores, however float64 sums them
        want = scores.sort(dim=1, descending=True, stable=True)
        same = found(x.to(dtype), y.to(dtype), k, 1, bias, normalize=unit)[0].view(6, k) == want.indices[:, :k]
        apart = (want.values.diff(dim=1).abs() > 1e3) | want.values[:, 1:].isinf()  # others than float32's neighbors
        ends = torch.ones(6, 1, dtype=torch.bool)
        clear = (torch.cat([ends, apart], 1) & torch.cat([apart, ends], 1))[:, :k]
        assert same[clear].all(), (m, kind)
        assert clear.any() or kind in ("duplicates", "blank")
        assert same.all() or kind not in ("duplicates", "blank", "all masked", "zeros"), (m, kind)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("m", [50, 300])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_are_none_lead_to_sources_of_the_image(value, m):
    """The kernels let them through: every target gets k different sources of its own image."""
    for normalize in (True, False):
        for spoiled in ("x", "y", "bias"):
            parts = {"x": torch.randn(1, 5, 8), "y": torch.randn(1, m, 8), "bias": torch.rand(1, 5, m)}
            parts[spoiled][0, 3, 7] = value
            sources = found(parts["x"], parts["y"], 9, 1, parts["bias"], normalize=normalize)[0].view(5, 9)
            assert int(sources.min()) >= 0 and int(sources.max()) < m
            assert (sources.sort(-1).values.diff(dim=-1) > 0).all()


def test_other_shapes_are_refused():
    x, y, bias = torch.randn(2, 4, 3), torch.randn(2, 5, 3), torch.zeros(1, 1, 5)
    for one, two, three, k in [
        (x.double(), y, bias, 2),
        (x.double(), y.double(), bias, 2),
        (x, y[:1], bias, 2),
        (x, y[..., :2], bias, 2),
        (x, y, bias[..., :4], 2),
        (x, y, bias[0], 2),
        (x, y, bias, 6),
        (x, y, bias, 0),
    ]:
        with pytest.raises(ValueError, match=r"supports float32|do not match|k must be from 1 to 5"):
            found(one, two, k, 1, three)


def test_rows_of_a_bias_far_apart_are_copied():
    for stride, want in ((2**24 - 1, 2**24 - 1), (2**24, 3)):
        assert _dense(torch.empty_strided((1, 2, 3), (0, stride, 1), device="meta")).stride(1) == want


@pytest.mark.parametrize(
    ("seed", "m", "k"),
    [
        (0, 300, 9),
        (1, 700, 17),
        *(
            pytest.param(s, m, k, marks=pytest.mark.slow)
            for s in range(2, 6)
            for m in (257, 512, 1100)
            for k in (1, 16, 40)
        ),
    ],
)
def test_many_sources_keep_the_order_of_ties_wherever_the_search_begins(seed, m, k):
    """Each tile of targets begins with other sources: with few different scores the smaller source comes first."""
    rng = torch.Generator(torch.get_default_device()).manual_seed(seed)
    scores = torch.randint(-2, 3, (1, 1, m), generator=rng).float().expand(1, 200, m).contiguous()
    scores[:, 1::3] = torch.randint(-1, 1, (1, 1, m), generator=rng).float()
    scores[:, 2::3] = 0
    x, y, zero = torch.zeros(1, 200, 1), torch.zeros(1, m, 1), scores
    want = scores.sort(dim=-1, descending=True, stable=True).indices[0, :, :k]
    assert torch.equal(found(x, y, k, 1, zero)[0].view(200, k), want)
