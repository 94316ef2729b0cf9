import pytest
import torch

from vig_pyg.data import Layout
from vig_pyg.graph import dense
from vig_pyg.position import PositionCodes


def problem(b=2, size=(6, 6), ratio=1, channels=8):
    layout = Layout.from_sizes([size] * b)
    small = layout.pooled(ratio)
    x, y = (torch.randn(part.num_nodes, channels, dtype=torch.float64) for part in (layout, small))
    return x, layout, (x if ratio == 1 else y), small


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("ranks", [[0], [0, 1, 2], [0, 2, 4], [1, 3, 8], [2]])
def test_sources_have_the_asked_ranks(ratio, ranks):
    x, layout, y, small = problem(ratio=ratio)
    found = dense.dense_neighbors(x, layout, y, small, ranks, None)
    distance = torch.cdist(x.view(2, -1, 8), y.view(2, -1, 8))
    assert torch.equal(found, distance.argsort(dim=-1)[..., ranks])


@pytest.mark.parametrize("budget", [1, 500, 40 * 9 * 8, 10**9])
@pytest.mark.parametrize("position", [None, "official", "grid"])
def test_slices_change_nothing(monkeypatch, budget, position):
    x, layout, y, small = problem(b=3, ratio=2)
    codes = PositionCodes(position)(layout, small, 8, x.dtype) if position else None
    whole = dense.dense_neighbors(x, layout, y, small, [0, 2, 4], codes)
    monkeypatch.setattr(dense, "SCORE_BUDGET", budget)
    assert torch.equal(dense.dense_neighbors(x, layout, y, small, [0, 2, 4], codes), whole)


def test_features_close_together_keep_their_order():
    layout = Layout.from_sizes([(14, 14)])
    x = torch.nn.functional.normalize(1 + 1e-2 * torch.randn(196, 48), dim=1)
    exact = (x.double()[:, None] - x.double()[None]).square().sum(-1)
    nearest = dense.dense_neighbors(x, layout, x, layout, list(range(9)), None)[0]
    gap = exact.gather(1, nearest) - exact.sort(dim=1).values[:, :9]
    assert gap.abs().max() < 1e-9  # 1e-7 without taking the mean away
