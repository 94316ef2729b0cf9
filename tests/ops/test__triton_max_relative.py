"""The kernels for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

from functools import partial

import pytest
import torch

from vig_pyg.ops import _triton_max_relative, rows
from vig_pyg.ops._triton_max_relative import gather_max, gather_neighbors
from vig_pyg.ops._triton_tiles import BACKWARD, Tuning, tiles
from vig_pyg.ops.rows import winner_type

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# the interpreter cuts bfloat16 off where a GPU rounds
ROUNDING = {torch.bfloat16: 2**-7} if DEVICE == "cpu" else {}


def graph(num_src, degrees, *, seed=0):
    """Edges sorted by target."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    degrees = torch.tensor(degrees)
    source = torch.randint(0, num_src, (int(degrees.sum()),), generator=generator)
    return torch.stack([source, torch.arange(len(degrees)).repeat_interleave(degrees)])


def by_hand(x_src, x_dst, edges):
    """The result, and the first source with the largest value."""
    rows, winners = [], []
    for i, x in enumerate(x_dst):
        source = edges[0, edges[1] == i]
        rows.append(x_src[source].amax(0) - x if len(source) else torch.zeros_like(x))
        winners.append(source[x_src[source].max(0).indices] if len(source) else torch.full(x.shape, -1))
    return torch.stack([x_dst, torch.stack(rows)], 2).flatten(1), torch.stack(winners)


def few_values(*shape):
    """Features with many equal values, of both signs."""
    return torch.randint(-2, 3, shape).float()


@pytest.mark.parametrize("channels", [1, 6, 40])
@pytest.mark.parametrize(
    "degrees", [[3, 0, 1, 5], [9] * 20, [0], [1] * 33, [2, 2, 1, 3, 2, 2], [0, 4], [4, 0], [2, 2, 0, 4, 2, 2]]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [torch.randn, few_values])
def test_edges_give_the_equation_and_the_first_winner(channels, degrees, dtype, make):
    edges = graph(11, degrees)
    x_src, x_dst = make(11, channels).to(dtype), make(len(degrees), channels).to(dtype)
    inputs = x_src.to(DEVICE), x_dst.to(DEVICE), edges.to(DEVICE)
    out, winners = gather_max(*inputs, winners=True)
    want, want_winners = by_hand(x_src, x_dst, edges)
    torch.testing.assert_close(out.to(want.device), want, rtol=ROUNDING.get(dtype, 0), atol=0)
    assert torch.equal(winners.to(want.device), want_winners.int())
    without, none = gather_max(*inputs, winners=False)
    assert torch.equal(without, out) and none.shape == (0, channels)


def test_random_degrees_are_found_by_bisection():
    for seed in range(12):
        generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
        degrees = torch.randint(0, 5, (70,), generator=generator).tolist()
        edges, x_src, x_dst = graph(9, degrees, seed=seed), few_values(9, 3), few_values(70, 3)
        out, winners = gather_max(x_src.to(DEVICE), x_dst.to(DEVICE), edges.to(DEVICE), winners=True)
        want, want_winners = by_hand(x_src, x_dst, edges)
        assert torch.equal(out.to(want.device), want) and torch.equal(winners.to(want.device), want_winners.int())


@pytest.mark.parametrize("sizes", [(2, 5, 7, 3), (1, 40, 3, 1), (3, 1, 260, 9), (1, 33, 40_000, 4)])
@pytest.mark.parametrize(("channels", "dtype"), [(16, torch.float32), (80, torch.bfloat16), (7, torch.float16)])
@pytest.mark.parametrize("tuning", [Tuning(), Tuning(bytes=32, warps=1, passes=3, span=5)])
def test_neighbors_within_images_give_what_edges_give(sizes, channels, dtype, tuning):
    images, n, m, kept = sizes
    x_src, x_dst = (few_values(images * count, channels).to(dtype).to(DEVICE) for count in (m, n))
    neighbors = torch.randint(0, m, (images, n, kept))
    first = torch.arange(images).view(-1, 1, 1) * m
    target = torch.arange(images * n).repeat_interleave(kept)
    edges = torch.stack([(neighbors + first).flatten(), target]).to(DEVICE)
    neighbors = neighbors.to(torch.int16 if m <= 2**15 else torch.int32).to(DEVICE)
    out, winners = gather_neighbors(x_src, x_dst, neighbors, winners=True, tuning=tuning)
    want, want_winners = gather_max(x_src, x_dst, edges, winners=True)
    assert torch.equal(out, want)
    assert winners.dtype == winner_type(m)
    assert torch.equal(winners.view(images, -1) + first.view(-1, 1).to(DEVICE), want_winners.view(images, -1))
    assert torch.equal(gather_neighbors(x_src, x_dst, neighbors, winners=False, tuning=tuning)[0], out)


def test_each_number_of_the_result_is_written(monkeypatch):
    empty = torch.Tensor.new_empty

    def poisoned(self, *shape, **options):
        found = empty(self, *shape, **options)
        return found.fill_(77 if not found.is_floating_point() else torch.nan)

    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)
    neighbors = torch.randint(0, 5, (2, 9, 3), dtype=torch.int16).to(DEVICE)
    x_src, x_dst = torch.randn(10, 36).to(DEVICE), torch.randn(18, 36).to(DEVICE)
    for kernel, around in ((gather_neighbors, neighbors), (gather_max, graph(10, [4] * 18).to(DEVICE))):
        out, winners = kernel(x_src, x_dst, around, winners=True)
        assert out.isfinite().all() and (winners < 10).all()


def test_nan_and_infinity_are_handed_on():
    x = torch.zeros(3, 16)
    x[1, 4], x[:, 5], x[2, 6] = torch.nan, -torch.inf, torch.inf
    edges = torch.tensor([[0, 1, 2], [0, 0, 0]]).to(DEVICE)
    out = gather_max(x.to(DEVICE), torch.zeros(1, 16).to(DEVICE), edges, winners=False)[0].cpu()
    assert out.isnan().nonzero().tolist() == [[0, 9]]
    assert out[0, 11] == -torch.inf and out[0, 13] == torch.inf


@pytest.mark.parametrize("by_target", [False, True])
def test_sorted_edges_are_handed_on(by_target):
    edges = graph(5, [2, 0, 3]).to(DEVICE)
    assert rows.gpu_edges(edges, 5, 3, by_target) is edges


def test_edges_in_any_order_are_sorted_and_checked():
    edges = graph(5, [2, 0, 3])
    got = rows.gpu_edges(edges[:, [4, 0, 2, 1, 3]].to(DEVICE), 5, 3, False).to(edges.device)
    assert torch.equal(got[1], edges[1])
    assert sorted(got[0, :2].tolist()) == sorted(edges[0, :2].tolist())
    for bad in (5, -1):
        with pytest.raises(IndexError, match=r"source indices in \[0, 5\) and target indices in \[0, 3\)"):
            rows.gpu_edges(torch.tensor([[0, bad], [0, 1]]).to(DEVICE), 5, 3, False)


def test_wrong_edges_are_never_followed():
    """Whatever the edges hold: only rows that exist are read, and a source that does not exist gives NaN."""
    edges = torch.tensor([[0, 7, -1, 2], [0, 1, 2, 3]]).to(DEVICE)
    x_src, x_dst = torch.ones(3, 16).to(DEVICE), torch.zeros(4, 16).to(DEVICE)
    out, winners = gather_max(x_src, x_dst, edges, winners=True)
    assert out[:, 1::2].isnan().all(1).tolist() == [False, True, True, False]
    assert winners[:, 0].tolist() == [0, -1, -1, 2]
    for seed in range(20):
        edges = torch.randint(
            -9, 9, (2, 12), generator=torch.Generator(torch.get_default_device()).manual_seed(seed)
        ).to(DEVICE)
        out = gather_max(x_src, x_dst, edges, winners=True)[0][:, 1::2]
        assert (out.isnan() | (out == 0) | (out == 1)).all()
    neighbors = torch.tensor([[[0, 5]], [[2, -1]]], dtype=torch.int16).to(DEVICE)
    out = gather_neighbors(torch.ones(6, 16).to(DEVICE), x_dst[:2], neighbors, winners=False)[0]
    assert out[:, 1::2].isnan().all()


def test_other_shapes_are_refused():
    x, edges = torch.ones(3, 16), torch.zeros(2, 4, dtype=torch.long)
    for arguments in ((x[:, :8], x[:2], edges), (x, x[:2].double(), edges), (x, x, edges[0]), (x, x, edges.int())):
        with pytest.raises(ValueError, match=r"must have the same width|Edges must be"):
            gather_max(*(part.to(DEVICE) for part in arguments), winners=True)
    neighbors = torch.zeros(1, 3, 2, dtype=torch.int16)
    for arguments in (
        (x, x[:2], neighbors),
        (x, x, neighbors.long()),
        (x, x, neighbors[0]),
        (x, x, neighbors[..., :0]),
    ):
        with pytest.raises(ValueError, match=r"Neighbors"):
            gather_neighbors(*(part.to(DEVICE) for part in arguments), winners=True)


@pytest.mark.parametrize("winners", [False, True])
def test_places_beyond_32_bits_give_the_same(winners, monkeypatch):
    x_src, x_dst = few_values(10, 36).to(DEVICE), few_values(18, 36).to(DEVICE)
    neighbors, edges = torch.randint(0, 5, (2, 9, 3), dtype=torch.int16).to(DEVICE), graph(10, [4] * 18).to(DEVICE)

    def results():
        return *gather_neighbors(x_src, x_dst, neighbors, winners=winners), *gather_max(
            x_src, x_dst, edges, winners=winners
        )

    want = results()
    for width in (1, 2):
        monkeypatch.setattr(_triton_max_relative, "tiles", partial(wide, width))
        for one, two in zip(results(), want, strict=True):
            assert torch.equal(one, two)


def wide(width, *args):
    """Tiles as for tensors whose places, or whose threads (2), do not fit 32 bits."""
    found = tiles(*args)
    assert found.constants["WIDE"] == 0
    assert tiles(1, 2**26, 1, 16, 4).constants["WIDE"] == 1
    assert tiles(1, 2**25, 1, 64, 2, BACKWARD).constants["WIDE"] == 2
    return found._replace(constants=found.constants | {"WIDE": width})
