import math

import pytest
import torch
import torch.nn.functional as F

from vig_pyg import position
from vig_pyg.data import BatchLayout, to_nodes
from vig_pyg.graph import DilatedKNN
from vig_pyg.position import (
    POSITION_MODES,
    TABLE_LIMIT,
    Codes,
    PositionCodes,
    PositionEmbedding,
    shortened,
    sincos,
)


def test_sincos_is_its_equation():
    channels, row, column = 16, 3.0, 5.0
    omega = [10000 ** (-4 * i / channels) for i in range(channels // 4)]
    want = [f(place * w) for place, f in ((column, math.sin), (column, math.cos)) for w in omega]
    want += [f(place * w) for place, f in ((row, math.sin), (row, math.cos)) for w in omega]
    got = sincos(torch.tensor([[row, column]]), channels)[0]
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=0, atol=1e-14)


def test_codes_have_one_length_and_depend_on_the_distance_only():
    p = sincos(BatchLayout.from_sizes([(6, 7)]).pos, 32)
    torch.testing.assert_close(p.square().sum(1), torch.full((42,), 16.0, dtype=torch.float64))
    products = (p @ p.t()).view(6, 7, 6, 7)
    torch.testing.assert_close(products[0, 0, 2, 3], products[3, 1, 5, 4])


def test_width_must_be_a_multiple_of_four():
    with pytest.raises(ValueError, match="divisible by 4, got 6"):
        sincos(torch.zeros(1, 2), 6)


def table(size, ratio, channels, position):
    """The published N x M table of -2 p·q / C, in float64; or the same from the pooled cells' own codes."""
    layout = BatchLayout.from_sizes([size])
    p = sincos(layout.pos, channels)
    if position == "grid":
        return -2 * p @ sincos(layout.pooled(ratio).pos, channels).t() / channels
    full = -2 * p @ p.t() / channels
    pooled = layout.pooled(ratio).num_nodes
    return F.interpolate(full[None, None], size=(p.size(0), pooled), mode="bicubic")[0, 0] if ratio > 1 else full


@pytest.mark.parametrize("engine", ["dense", "torch_cluster"])
@pytest.mark.parametrize("position", POSITION_MODES)
@pytest.mark.parametrize(("size", "ratio"), [((8, 8), 1), ((8, 8), 2), ((12, 12), 4), ((6, 10), 2), ((9, 5), 2)])
def test_edges_are_those_of_the_explicit_table(engine, position, size, ratio):
    channels, k = 16, 5
    maps = torch.randn(2, channels, *size, dtype=torch.float64)
    x, layout = to_nodes(maps)
    layout_src = layout.pooled(ratio)
    y = x if ratio == 1 else torch.randn(layout_src.num_nodes, channels, dtype=x.dtype)
    edges = DilatedKNN(k, engine=engine, position=position)(x, layout, y, layout_src)
    a, b = (F.normalize(part, dim=1).view(2, -1, channels) for part in (x, y))
    distance = torch.cdist(a, b).square() + table(size, ratio, channels, position)
    want = distance.topk(k, largest=False).indices + torch.arange(2).view(2, 1, 1) * b.size(1)
    assert torch.equal(edges[0].view(2, -1, k), want)
    assert torch.equal(edges[1], torch.arange(x.size(0)).repeat_interleave(k))


@pytest.mark.parametrize("channels", [8, 32])
def test_position_matters(channels):
    x, layout = to_nodes(torch.randn(1, channels, 8, 8))
    plain = DilatedKNN(5)(x, layout, x, layout)
    assert not torch.equal(plain, DilatedKNN(5, position="official")(x, layout, x, layout))


@pytest.mark.parametrize(("ratio", "same"), [(1, True), (2, False), (4, False)])
def test_grid_and_official_differ_only_where_sources_are_pooled(ratio, same):
    layout = BatchLayout.from_sizes([(8, 8)])
    grid, official = (PositionCodes(mode)(layout, layout.pooled(ratio), 16, torch.float64) for mode in POSITION_MODES)
    assert torch.equal(grid.table, official.table) == same
    assert torch.allclose(grid.table, official.table, rtol=0, atol=1e-12) == same


@pytest.mark.parametrize(("size", "ratio"), [((14, 14), 1), ((56, 56), 4), ((3, 40), 1)])
@pytest.mark.parametrize("mode", POSITION_MODES)
@pytest.mark.parametrize(("dtype", "rounding", "most"), [(torch.float32, 1e-8, 50), (torch.float64, 1e-13, 240)])
def test_shortened_codes_keep_every_product(size, ratio, mode, dtype, rounding, most):
    channels = 240
    layout = BatchLayout.from_sizes([size])
    source = layout.pooled(ratio)
    p = sincos(layout.pos, channels)
    q = p if ratio == 1 else sincos(source.pos, channels)
    if mode == "official" and ratio > 1:
        q = F.interpolate(p.t()[None, None], size=(channels, source.num_nodes), mode="bicubic")[0, 0].t()
    a, b = shortened(p, q, eps=torch.finfo(dtype).eps)
    assert a.size(1) == b.size(1) <= most
    torch.testing.assert_close(a @ b.t(), p @ q.t(), rtol=0, atol=channels * rounding)
    kept = PositionCodes(mode)(layout, source, channels, dtype)
    assert kept.p.shape == a.shape
    torch.testing.assert_close(kept.p @ kept.q.t(), (p @ q.t() / channels).to(dtype))


def test_codes_that_need_all_coordinates_keep_them():
    p, q = torch.randn(2, 9, 4, dtype=torch.float64)
    a, b = shortened(p, q, eps=1e-7)
    assert a.shape == p.shape
    torch.testing.assert_close(a @ b.t(), p @ q.t())


def test_grid_puts_the_nearest_pooled_cell_first():
    layout = BatchLayout.from_sizes([(8, 12)])
    small = layout.pooled(2)
    products = PositionCodes("grid")(layout, small, 32, torch.float64).table
    assert torch.equal(products.argmax(1), torch.cdist(layout.pos, small.pos).argmin(1))


@pytest.mark.parametrize("mode", POSITION_MODES)
def test_codes_of_a_ragged_batch_are_those_of_its_images(mode):
    sizes = [(4, 6), (6, 6), (5, 3)]
    layout = BatchLayout.from_sizes(sizes)
    codes = PositionCodes(mode)
    together = codes(layout, layout.pooled(2), 16, torch.float64)
    alone = [codes(one, one.pooled(2), 16, torch.float64) for one in (BatchLayout.from_sizes([size]) for size in sizes)]
    targets = together.p.split([height * width for height, width in sizes])
    sources = together.q.split([code.q.size(0) for code in alone])
    for p, q, code in zip(targets, sources, alone, strict=True):
        torch.testing.assert_close(p @ q.t(), code.p @ code.q.t(), rtol=0, atol=1e-12)


def test_kept_codes_follow_size_width_and_type():
    codes = PositionCodes("grid")
    for size, channels, dtype in [((4, 4), 8, torch.float32), ((4, 6), 8, torch.float32), ((4, 6), 16, torch.float64)]:
        layout = BatchLayout.from_sizes([size])
        got = codes(layout, layout, channels, dtype)
        want = sincos(layout.pos, channels) / channels**0.5
        assert got.p.dtype == dtype
        torch.testing.assert_close(got.p @ got.p.t(), (want @ want.t()).to(dtype))


def test_kept_codes_are_no_weights_and_large_tables_are_not_kept():
    codes = PositionCodes("grid")
    layout = BatchLayout.from_sizes([(40, 40)])
    assert layout.num_nodes**2 > TABLE_LIMIT
    large = codes(layout, layout, 8, torch.float32)
    assert large.table is None
    small = codes(BatchLayout.from_sizes([(4, 4)]), BatchLayout.from_sizes([(4, 4)]), 8, torch.float32)
    torch.testing.assert_close(small.table, small.p @ small.q.t())
    assert not codes.state_dict()


def test_unknown_mode_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"Unknown position mode 'learned': choose one of official, grid"):
        PositionCodes("learned")


def test_embedding_is_added_as_it_is_at_its_size_and_resized_elsewhere():
    embedding = PositionEmbedding(4, (3, 5))
    torch.nn.init.normal_(embedding.weight)
    x = torch.rand(2, 4, 3, 5)
    assert torch.equal(embedding(x), x + embedding.weight)
    want = F.interpolate(embedding.weight, size=(6, 4), mode="bicubic")
    torch.testing.assert_close(embedding(torch.zeros(1, 4, 6, 4)), want)


def test_codes_of_two_pooling_ratios_with_the_same_grid_are_not_mixed_up():
    layout = BatchLayout.from_sizes([(5, 5)])
    kept = PositionCodes("grid")
    for ratio in (3, 4, 3):
        source = layout.pooled(ratio)
        assert source.grid_size == (2, 2)
        fresh = PositionCodes("grid")(layout, source, 8, torch.float32)
        assert torch.equal(kept(layout, source, 8, torch.float32).q, fresh.q)


@pytest.mark.parametrize("mode", POSITION_MODES)
@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 9), (9, 4), (1, 12), (7, 1), (6, 6)])
def test_terms_of_columns_and_rows_add_up_to_the_products(mode, ratio, size, monkeypatch):
    device = torch.get_default_device()
    table = position._made(mode, size, ratio, 16, torch.float64, True, device)[2]
    monkeypatch.setattr(position, "TABLE_LIMIT", 0)
    p, q, no_table, terms = position._made(mode, size, ratio, 16, torch.float64, True, device)
    assert no_table is None and terms.shape == (sum(size), table.size(1))
    target = torch.arange(table.size(0))
    width = size[1]
    torch.testing.assert_close(terms[target % width] + terms[width + target // width], table, rtol=0, atol=1e-14)
    assert Codes(p, q, None, terms).bias(size)[1] == width
    assert position._made(mode, size, ratio, 16, torch.float64, False, device)[3] is None  # a CPU has no use for them
    monkeypatch.setattr(position, "TERMS_LIMIT", 0)
    assert position._made(mode, size, ratio, 16, torch.float64, True, device)[3] is None
    assert Codes(p, q).bias(size) is None
