"""Exported programs whose number of images stays open: one serves every number, and equals the model."""

import importlib.util
import re

import pytest
import torch
from torch_geometric.nn import GATv2Conv, GraphConv

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG, list_convs, list_graphs
from vig_pyg.export import to_onnx
from vig_pyg.graph import EDGE_ATTRS, GRAPHS, GridGraph, RandomGraph, Reuse, StaticGraph, WindowGraph

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of their own code
onnx = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
slow = pytest.mark.slow
NUMBERS = (1, 2, 3, 7)
#: Windows of a grid of 20 x 12 have four sizes; the sources of the pyramid are pooled.
SIZE = (40, 24)
FAMILIES = {
    "pvig": (PyramidViG, {"depths": (1,), "channels": (16,), "reduce_ratios": (2,), "patch_size": 2}),
    "vig": (ViG, {"depth": 1, "channels": 16, "patch_size": 2}),
}


class Diagonal(StaticGraph):
    """A graph of one's own, whose number of edges depends on the data."""

    def image_edges(self, target, source):
        index = torch.arange(target.num_nodes, device=target.device)
        return torch.stack([index % source.num_nodes, index])[:, index % 3 < 2]


def attentive(columns):
    return lambda i, o: GATv2Conv(i, o, edge_dim=columns)


def with_attributes(factory, names):
    columns = sum(EDGE_ATTRS[name] for name in ((names,) if isinstance(names, str) else names))
    return {"graph": lambda k, d: factory(k, edge_attr=names), "conv": attentive(columns)}


CASES = {name: {"graph": name} for name in list_graphs()}
CASES |= {f"grid, {conv}": {"graph": "grid", "conv": conv} for conv in list_convs()}
CASES |= {f"knn, {conv}": {"graph": "knn", "conv": conv} for conv in list_convs()}
CASES |= {f"knn, {name}": with_attributes(DilatedKNN, name) for name in EDGE_ATTRS}
CASES |= {f"window, {name}": with_attributes(WindowGraph, name) for name in EDGE_ATTRS}
CASES |= {
    "grid, all": with_attributes(lambda k, **options: GridGraph(**options), tuple(EDGE_ATTRS)),
    "random, rank": with_attributes(RandomGraph, "rank"),
    "weights": {"graph": lambda k, d: GridGraph(edge_attr="distance"), "conv": lambda i, o: GraphConv(i, o)},
    "reuse knn": {"graph": Reuse(DilatedKNN, every=2)},
    "reuse grid": {"graph": Reuse(GRAPHS["grid"], every=2)},
    "own": {"graph": lambda k, d: Diagonal(), "conv": "edge"},
}
#: The others run every night.
QUICK = {*list_graphs(), "knn, edge", "grid, edge", "knn, unit_offset", "reuse knn", "own"}


def model_of(family, case, **options):
    torch.manual_seed(0)
    make, shape = FAMILIES[family]
    if "reuse" in case:
        shape = shape | ({"depth": 3} if family == "vig" else {"depths": (3,)})
    return calibrated(make("micro", num_classes=5, k=3, image_size=24, **shape, **CASES[case], **options), SIZE)


def assert_serves(model, run, numbers=NUMBERS, tolerance=1e-5):
    for number in numbers:
        images = torch.rand(number, 3, *SIZE)
        torch.manual_seed(number)  # for random graphs
        with torch.no_grad():
            want = model(images)
        torch.manual_seed(number)
        assert float((run(images) - want).detach().abs().max()) <= tolerance * float(want.abs().max()), number


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=slow) for case in CASES])
@pytest.mark.parametrize("family", ["pvig", pytest.param("vig", marks=slow)])
@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=slow)])
def test_one_exported_program_serves_every_number_of_images(family, case, strict):
    model = model_of(family, case)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(model, (torch.rand(2, 3, *SIZE),), dynamic_shapes=dynamic, strict=strict)
    assert_serves(model, program.module())
    assert_serves(model, model_of(family, case))  # nothing of the exporter stays in a cache


def test_a_search_that_cannot_be_exported_is_named():
    model = PyramidViG("micro", num_classes=5, knn_engine="torch_cluster").eval()
    with pytest.raises(
        ValueError, match="Programs cannot contain the search of torch_cluster: export with knn_engine="
    ):
        torch.export.export(model, (torch.rand(2, 3, 32, 32),))
    assert model(torch.rand(2, 3, 32, 32)).isfinite().all()


@onnx
@pytest.mark.parametrize("case", [case if case == "knn, rank" else pytest.param(case, marks=slow) for case in CASES])
@pytest.mark.parametrize("family", ["pvig", pytest.param("vig", marks=slow)])
def test_one_onnx_file_serves_every_number_of_images_or_the_cause_is_named(family, case, tmp_path):
    import onnxruntime

    model = model_of(family, case).fuse()
    try:
        path = to_onnx(model, tmp_path / "model.onnx", image_size=SIZE)
    except ValueError as error:
        assert "random" in case and re.search("The model draws random numbers, which differ in the file", str(error))
        assert not list(tmp_path.iterdir())
        return
    session = onnxruntime.InferenceSession(str(path))
    run = lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])  # noqa: E731
    assert "random" not in case
    assert_serves(model, run, tolerance=1e-4)


@onnx
@slow
def test_an_operation_that_onnx_lacks_is_named(tmp_path):
    class Sorting(torch.nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.lin = torch.nn.Linear(i, o)

        def forward(self, x, edge_index):
            return torch.linalg.eigvals(self.lin(x)[:4, :4]).real.sum() + self.lin(x)

    model = ViG("micro", num_classes=5, depth=1, graph="grid", conv=Sorting).eval()
    with pytest.raises(ValueError, match=r"torch cannot convert this model with graph='grid' and conv=.* to ONNX \("):
        to_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
