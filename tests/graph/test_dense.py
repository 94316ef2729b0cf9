import pytest
import torch
from torch.nn.functional import normalize

from vig_pyg.data import Layout
from vig_pyg.graph.dense import dense_edges
from vig_pyg.position import Codes, PositionCodes


def problem(b=2, size=(6, 6), ratio=1, channels=8):
    layout = Layout.from_sizes([size] * b)
    small = layout.pooled(ratio)
    x, y = (torch.randn(part.num_nodes, channels, dtype=torch.float64) for part in (layout, small))
    return x, layout, (x if ratio == 1 else y), small


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("ranks", [[0], [0, 1, 2], [0, 2, 4], [1, 3, 8], [2]])
def test_sources_have_the_asked_ranks(ratio, ranks):
    x, layout, y, small = problem(ratio=ratio)
    source, target = dense_edges(x, layout, y, small, ranks, None)
    distance = torch.cdist(*(normalize(part, dim=1).view(2, -1, 8) for part in (x, y)))
    want = distance.argsort(dim=-1)[..., ranks] + torch.arange(2).view(2, 1, 1) * small.counts[0]
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
