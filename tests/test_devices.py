"""Passes on a device without float64, forward and backward, over all graphs, operators and position modes."""

import re
from pathlib import Path

import pytest
import torch

from tests.common import calibrated
from tests.conftest import CPU_ONLY, ON_ANY_DEVICE
from tests.other_device import OnDevice, other_device, put
from vig_pyg import PyramidViG, ViG
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS

ROOT = Path(__file__).parents[1]
SMALL = {
    ViG: {"depth": 2, "channels": 16},
    PyramidViG: {"depths": (1, 2), "channels": (8, 16), "reduce_ratios": (2, 1)},
}
SEARCHES = [{"position": mode} for mode in ("official", "grid", None)] + [{"stochastic": True, "epsilon": 1.0}]
CASES = [
    (family, conv, graph, options)
    for family in SMALL
    for conv, graph, options in [
        *((conv, "knn", {}) for conv in CONVS),
        *(("mr", graph, {}) for graph in GRAPHS),
        *(("mr", "knn", options) for options in SEARCHES if family is PyramidViG or "position" not in options),
    ]
]


def made(family, conv, graph, options):
    base = {"num_classes": 3, "k": 3, "head_channels": 8, "drop_path_rate": 0.2, "dropout": 0.1}
    return calibrated(family("micro", conv=conv, graph=graph, **base, **SMALL[family], **options))


def images(ragged):
    torch.manual_seed(1)
    return [torch.rand(3, 32, 32), torch.rand(3, 24, 40)] if ragged else torch.rand(2, 3, 32, 32)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("family", "conv", "graph", "options"), CASES)
def test_no_double_precision_on_the_device(family, conv, graph, options, ragged):
    model = made(family, conv, graph, options)
    given = images(ragged)
    with torch.no_grad():
        torch.manual_seed(2)
        want = model(given)
    with other_device():
        put(model)
        there = [put(one) for one in given] if ragged else put(given)
        with torch.no_grad():
            torch.manual_seed(2)
            got = model(there)
        assert isinstance(got, OnDevice)
        model.train()(there).sum().backward()
        norms = [p.grad.square().sum().item() for p in model.parameters() if p.grad is not None]
    assert torch.allclose(got.held, want, atol=1e-4)
    assert len(norms) > 20 and all(norm < float("inf") for norm in norms)


def test_the_device_refuses_what_it_should():
    with other_device() as device:
        x = put(torch.rand(3))
        assert (x + 1).device == device and torch.zeros(2, device=device).cpu().tolist() == [0, 0]
        with pytest.raises(AssertionError, match=r"makes torch\.float64 on the device"):
            x.double()
        with pytest.raises(AssertionError, match=r"makes torch\.float64 on the device"):
            torch.rand(3, dtype=torch.float64, device=device)
        with pytest.raises(AssertionError, match="mixes the device with the CPU"):
            x + torch.rand(3)
        assert torch.rand(3, dtype=torch.float64).to(device, torch.float32).device == device


@pytest.mark.parametrize("engine", ["auto", "dense", "torch_cluster"])
def test_engines_say_what_they_cannot_do_there(engine):
    model = made(PyramidViG, "mr", "knn", {"knn_engine": engine})
    with other_device():
        put(model)
        there = [put(one) for one in images(True)]
        if engine != "torch_cluster":
            assert isinstance(model(there), OnDevice)
            return
        with pytest.raises(
            ValueError, match="torch_cluster searches on cpu and cuda, got nodes on mps: use knn_engine="
        ):
            model(there)


@pytest.mark.parametrize("name", [*CPU_ONLY, *ON_ANY_DEVICE])
def test_the_tests_that_run_on_a_gpu_and_those_that_do_not_exist(name):
    path, _, function = name.partition("::")
    assert (ROOT / path).exists()
    assert not function or re.search(rf"^def {function.partition('[')[0]}", (ROOT / path).read_text(), re.MULTILINE)
