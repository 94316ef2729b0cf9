"""Forward passes write nothing into the model, so that threads may share it."""

import sys
import threading
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.graph import GRAPHS, Reuse

SIZES = [(32, 32), (24, 40), (40, 24)]
BUILDERS = {**{name: name for name in GRAPHS}, "reuse": Reuse(DilatedKNN, every=2)}


@contextmanager
def switching_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(work, count):
    """Run `work(i)` in a thread each; the first error is raised here."""
    errors = []

    def run(i):
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    with switching_often():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def made(family, graph, **options):
    small = (
        {"depth": 2, "channels": 16}
        if family is ViG
        else {"depths": (1, 2), "channels": (8, 16), "reduce_ratios": (2, 1)}
    )
    return family("micro", graph=graph, num_classes=3, k=3, head_channels=8, **small, **options)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("graph", [name for name in BUILDERS if name != "random"])
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_threads_with_different_sizes_get_their_own_results(family, graph, fused):
    model = calibrated(made(family, BUILDERS[graph]))
    model = model.fuse() if fused else model
    images = [torch.rand(2, 3, *size) for size in SIZES]
    images.append([torch.rand(3, *size) for size in SIZES])
    with torch.no_grad():
        want = [model(one) for one in images]
    wrong = []

    def work(i):
        with torch.no_grad():
            for _ in range(6):
                got = model(images[i % len(images)])
                if not torch.allclose(got, want[i % len(images)], atol=1e-5):
                    wrong.append(i)

    in_threads(work, 2 * len(images))
    assert not wrong


@pytest.mark.parametrize("graph", ["axial", "complete", "grid", "log"])
def test_a_builder_in_threads_gives_each_its_own_edges(graph):
    from tests.graph.brute import inputs

    builder = GRAPHS[graph](3, 1)
    given = [inputs([size]) for size in ((3, 4), (4, 3), (5, 5), (2, 2))]
    want = [builder(*one) for one in given]
    wrong = []

    def work(i):
        for _ in range(150):
            if not torch.equal(builder(*given[i]), want[i]):
                wrong.append(i)

    in_threads(work, len(given))
    assert not wrong


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_threads_that_look_at_graphs_see_their_own(family):
    model = calibrated(made(family, "knn"))
    images = [torch.rand(1, 3, *size) for size in SIZES]
    want = [[graph.edge_index for graph in model.graphs(one)] for one in images]
    wrong = []

    def work(i):
        for _ in range(4):
            got = [graph.edge_index for graph in model.graphs(images[i])]
            if len(got) != len(want[i]) or not all(map(torch.equal, got, want[i])):
                wrong.append(i)

    in_threads(work, len(images))
    assert not wrong


def snapshot(model):
    """Every attribute of every part, by identity and by value where it is a tensor or a container."""
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            inner = {key: (id(one), _value(one)) for key, one in value.items()} if isinstance(value, dict) else None
            found[path, name] = id(value), inner, _value(value)
    return found


def _value(value):
    if isinstance(value, torch.Tensor):
        return value._version, value.detach().clone().nan_to_num().sum().item()
    return repr(value) if isinstance(value, (int, float, str, tuple, list, type(None))) else None


@pytest.mark.parametrize("kind", ["plain", "bfloat16"])
@pytest.mark.parametrize("conv", ["mr", "edge", "gin", "sage"])
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_a_pass_in_evaluation_leaves_every_part_as_it_was(family, conv, kind):
    for graph in list(BUILDERS.values())[:: 1 if conv == "mr" else 5]:
        model = made(family, graph, conv=conv).eval()
        model = model if kind == "plain" else model.fuse()
        keys = [set(vars(module)) for module in model.modules()]
        before = snapshot(model)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
            for size in SIZES[:2]:
                model(torch.rand(2, 3, *size))
            model([torch.rand(3, *size) for size in SIZES])
        assert [set(vars(module)) for module in model.modules()] == keys
        assert snapshot(model) == before


def test_the_snapshot_sees_a_write():
    class Writing(nn.Module):
        def forward(self, x):
            self.seen = x
            return x

    model = nn.Sequential(Writing())
    before = snapshot(model)
    model(torch.rand(1))
    assert snapshot(model) != before
