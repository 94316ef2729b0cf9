import pytest
import torch
from torch.nn.functional import normalize

from vig_pyg import position
from vig_pyg.data import BatchLayout
from vig_pyg.graph import DilatedKNN
from vig_pyg.graph.dense import dense_edges
from vig_pyg.position import Codes, PositionCodes


def problem(b=2, size=(6, 6), ratio=1, channels=8):
    layout = BatchLayout.from_sizes([size] * b)
    small = layout.pooled(ratio)
    x, y = (torch.randn(part.num_nodes, channels, dtype=torch.float64) for part in (layout, small))
    return x, layout, (x if ratio == 1 else y), small


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("ranks", [[0], [0, 1, 2], [0, 2, 4], [1, 3, 8], [2]])
def test_sources_have_the_asked_ranks(ratio, ranks):
    x, layout, y, small = problem(ratio=ratio)
    source, target = dense_edges(x, layout, y, small, ranks, None)
    distance = torch.cdist(*(normalize(part, dim=1).view(2, -1, 8) for part in (x, y)))
    want = distance.argsort(dim=-1)[..., ranks] + torch.arange(2).view(2, 1, 1) * small.num_nodes_per_graph[0]
    assert torch.equal(source, want.flatten())
    assert torch.equal(target, torch.arange(72).repeat_interleave(len(ranks)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["official", "grid"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_codes_of_large_grids_need_no_table(mode, ratio, dtype):
    x, layout, y, small = problem(b=3, ratio=ratio)
    x, y = x.to(dtype), y.to(dtype)
    codes = PositionCodes(mode)(layout, small, 8, dtype)
    assert codes.table is not None
    with_table = dense_edges(x, layout, y, small, [0, 2, 4], codes)
    assert torch.equal(dense_edges(x, layout, y, small, [0, 2, 4], Codes(codes.p, codes.q)), with_table)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["official", "grid"])
@pytest.mark.parametrize(("size", "ratio"), [((6, 6), 1), ((4, 9), 2), ((9, 5), 2)])
@pytest.mark.parametrize("ranks", [[0, 2, 4], [1, 3]])
def test_terms_of_columns_and_rows_give_the_edges_of_a_table(mode, size, ratio, dtype, ranks, monkeypatch):
    """As on a GPU, where large grids have them."""
    x, layout, y, small = problem(b=3, size=size, ratio=ratio)
    x, y = x.to(dtype), y.to(dtype)
    with_table = dense_edges(x, layout, y, small, ranks, PositionCodes(mode)(layout, small, 8, dtype))
    monkeypatch.setattr(position, "TABLE_LIMIT", 0)
    codes = Codes(*position._made(mode, size, small.ratio, 8, dtype, True, x.device))
    assert torch.equal(dense_edges(x, layout, y, small, ranks, codes._replace(p=None, q=None)), with_table)
    graph = DilatedKNN(2, 2, position=mode)
    monkeypatch.setattr(PositionCodes, "forward", lambda *_: codes)
    found = graph.search(x, layout, y, small)
    assert found.grid_width == size[1] and found.bias.shape == (1, sum(size), small.num_nodes_per_graph[0])
    monkeypatch.setattr(PositionCodes, "forward", lambda *_: codes._replace(terms=None, table=None))
    edges = graph(x, layout, y, small)
    through = y[edges[0]].view(len(x), 2, -1).amax(1) - x
    torch.testing.assert_close(found.max_relative()[:, 1::2], through, rtol=1e-6, atol=1e-6)
