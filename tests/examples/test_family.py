"""The dense form beside which the benchmark of the later family measures: the published networks in rolls of a map."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vig_pyg import GreedyViG, MobileViG, weights
from vig_pyg.layers import LayerScale

BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.fixture
def dense(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from family_dense import DenseFamily

    yield DenseFamily
    sys.modules.pop("family_dense", None)


@pytest.mark.parametrize("family", [MobileViG, GreedyViG])
@pytest.mark.parametrize("size", [(224, 224), (96, 160), (136, 72)])
def test_the_dense_form_has_our_logits(dense, family, size):
    torch.manual_seed(0)
    depths = {"local_depths": (1, 1, 1, 1), "graph_depths": (0, 0, 0, 2) if family is MobileViG else (1, 1, 1, 1)}
    widths = {"channels": (16, 24, 32, 48), "head_channels": 40, "num_classes": 5}
    model = family("small", **depths, **widths).double().eval()
    for module in model.modules():
        if isinstance(module, LayerScale):
            nn.init.constant_(module.gamma, 0.5)
    reference = dense(model.config).double().eval()
    reference.load_state_dict(weights.convert(model, "official"))
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(reference(images), model(images), rtol=0, atol=1e-9)
        torch.testing.assert_close(model.fuse()(images), model(images), rtol=0, atol=1e-9)
