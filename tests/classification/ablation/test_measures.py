import pytest

from vig_pyg import pvig_micro, vig_micro
from vig_pyg.classification import DigitsData
from vig_pyg.classification.ablation import measures, spectral_gaps


@pytest.fixture(scope="module")
def digits():
    return DigitsData(image_size=16)


@pytest.mark.parametrize(("make", "largest"), [(vig_micro, 0.99), (pvig_micro, 1.001)])
def test_gaps_of_graphs(digits, make, largest):
    gaps = {}
    for graph in ("complete", "random", "axial"):
        model = make(in_channels=1, image_size=16, patch_size=2, num_classes=10, graph=graph).eval()
        gaps[graph] = spectral_gaps(model, digits)["spectral_gap"]
    assert gaps["complete"] == pytest.approx(1)
    assert 0 <= gaps["axial"] < 0.99
    assert 0 < gaps["random"] < largest  # the few pooled sources of a small pyramid are all neighbors


def test_large_graphs_are_left_out(digits, monkeypatch):
    model = vig_micro(in_channels=1, image_size=16, patch_size=2, num_classes=10).eval()
    monkeypatch.setattr(measures, "PATCHES", 63)
    assert spectral_gaps(model, digits) == {}
