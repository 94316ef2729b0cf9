"""Graphers whose graph has attributes of edges, with PyG's operators and one of our own."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torch_geometric
from torch import nn
from torch_geometric.nn import (
    GATv2Conv,
    GCNConv,
    GENConv,
    GINEConv,
    GMMConv,
    GraphConv,
    NNConv,
    SAGEConv,
    SplineConv,
    TransformerConv,
)
from torch_geometric.typing import WITH_SPLINE

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG, conv
from vig_pyg.block import Grapher
from vig_pyg.data import BatchLayout
from vig_pyg.explain import ExplainableViG, attribute, fixed_graphs
from vig_pyg.graph import AxialGraph, Reuse, WindowGraph
from vig_pyg.testing import assert_batch_independence, assert_parameters_get_gradients

SIZES = [(4, 4), (4, 6), (4, 4)]


class Threshold(nn.Module):
    """The mean of neighbors within a learned soft threshold on the distance."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.lin = nn.Linear(2 * in_channels, out_channels)
        self.threshold = nn.Parameter(torch.tensor(0.7))

    def forward(self, x, edge_index, edge_attr):
        x_src, x_dst = (x, x) if isinstance(x, torch.Tensor) else x
        weight = torch.sigmoid(5 * (self.threshold - edge_attr))
        total = torch.zeros_like(x_dst).index_add(0, edge_index[1], weight * x_src[edge_index[0]])
        mass = torch.zeros_like(x_dst[:, :1]).index_add(0, edge_index[1], weight)
        return self.lin(torch.cat([x_dst, total / mass], dim=1))


#: Operators, the attributes that they get, and whether they take pairs of sources and targets.
OPERATORS = {
    "gatv2": (lambda i, o: GATv2Conv(i, o, edge_dim=4), ("rank", "distance", "offset"), True),
    "transformer": (lambda i, o: TransformerConv(i, o, edge_dim=2), "offset", True),
    "gen": (lambda i, o: GENConv(i, o, edge_dim=1), "distance", True),
    "gine": (lambda i, o: GINEConv(nn.Sequential(nn.Linear(i, o)), edge_dim=2), "offset", True),
    "nn": (lambda i, o: NNConv(i, o, nn.Linear(2, i * o)), "unit_offset", True),
    "gmm": (lambda i, o: GMMConv(i, o, dim=2, kernel_size=3), "offset", True),
    "spline": (lambda i, o: SplineConv(i, o, dim=2, kernel_size=3), "unit_offset", True),
    "graph": (lambda i, o: GraphConv(i, o), "distance", True),
    "gcn": (lambda i, o: GCNConv(i, o), "distance", False),
    "threshold": (Threshold, "distance", True),
}


def made(name, ratio=1, builder=DilatedKNN, **options):
    if name == "spline" and not WITH_SPLINE:
        pytest.skip("SplineConv needs pyg-lib, which is not installed")
    operator, names, pairs = OPERATORS[name]
    if ratio > 1 and not pairs:
        pytest.skip("this operator takes one node set")
    graph = lambda k, dilation: builder(k, edge_attr=names, **options)  # noqa: E731
    return Grapher(8, conv=operator, graph=graph, k=3, reduce_ratio=ratio).double()


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("builder", ["knn", "window", "axial"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_receive_the_attributes_of_their_edges(name, builder, ratio):
    builder = {"knn": DilatedKNN, "window": WindowGraph, "axial": lambda _, **options: AxialGraph(**options)}[builder]
    layout = BatchLayout.from_sizes(SIZES)
    grapher, x = made(name, ratio, builder).eval(), torch.randn(layout.num_nodes, 8, dtype=torch.float64)
    seen = []
    grapher.conv.register_forward_pre_hook(lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True)
    out = grapher(x, layout)
    ((_, edge_index), kwargs) = seen[0]
    (argument, values), *rest = kwargs.items()
    assert not rest and argument == ("edge_weight" if name in ("graph", "gcn") else "edge_attr")
    assert len(values) == edge_index.size(1) and values.dtype == x.dtype
    moved = copy.deepcopy(grapher)
    moved.graph.edge_attr = ()  # without them, where the operator can do without, it returns something else
    try:
        assert not torch.allclose(moved(x, layout), out)
    except (TypeError, AssertionError, AttributeError, RuntimeError):
        assert name not in ("gatv2", "graph")
    assert assert_parameters_get_gradients(grapher, x, layout) > 0


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("name", ["gatv2", "threshold", "graph"])
def test_models_with_attributes_keep_images_apart(family, name):
    operator, names, _ = OPERATORS[name]
    model = family("micro", conv=operator, graph=lambda k, d: DilatedKNN(k, d, edge_attr=names), num_classes=3)
    model = calibrated(model.double())
    images = [torch.rand(3, 32, 32).double(), torch.rand(3, 40, 32).double()]
    assert assert_batch_independence(model, images) < 1e-9


def test_a_threshold_on_distances_is_learned():
    torch.manual_seed(0)
    layout = BatchLayout.from_sizes([(4, 4)])
    grapher = made("threshold")
    optimizer = torch.optim.SGD([grapher.conv.threshold], lr=1.0)
    x, before = torch.randn(16, 8, dtype=torch.float64), float(grapher.conv.threshold.detach())
    for _ in range(3):
        grapher.zero_grad()
        F.mse_loss(grapher(x, layout), x.roll(1, 0)).backward()
        optimizer.step()
    assert float(grapher.conv.threshold.detach()) != before and grapher.fc1[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("operator", [*conv.CONVS.values(), lambda i, o: SAGEConv(i, o)])
def test_attributes_that_nobody_takes_are_refused_when_the_grapher_is_made(operator):
    with pytest.raises(ValueError, match=r"The graph builder returns edge attributes, but \w+\.forward has no"):
        Grapher(8, conv=operator, graph=lambda k, d: DilatedKNN(k, d, edge_attr="rank"), k=3)
    with pytest.raises(ValueError, match="returns edge attributes"):
        Grapher(8, conv=operator, graph=Reuse(lambda k, d: DilatedKNN(k, d, edge_attr="rank"), every=2), k=3)


def own(edge_attr):
    def build(x, layout, x_src, layout_src):
        edges = DilatedKNN(3)(x, layout, x_src, layout_src)
        return edges, edge_attr(edges)

    return build


def test_a_builder_of_ones_own_may_return_attributes_and_any_order():
    layout = BatchLayout.from_sizes(SIZES)

    def shuffled(x, layout, x_src, layout_src):
        edges, attr = DilatedKNN(3, edge_attr="offset")(x, layout, x_src, layout_src)
        order = torch.randperm(edges.size(1))
        return edges[:, order], attr[order]

    make = OPERATORS["transformer"][0]
    one = Grapher(8, conv=make, graph=lambda k, d: DilatedKNN(3, edge_attr="offset"), k=3).double().eval()
    two = Grapher(8, conv=make, graph=lambda k, d: shuffled, k=3).double().eval()
    two.load_state_dict(one.state_dict())
    x = torch.randn(layout.num_nodes, 8, dtype=torch.float64)
    torch.testing.assert_close(two(x, layout), one(x, layout))


FAULTS = {
    "too few": (lambda e: torch.rand(e.size(1) - 1, 2), ValueError, "one row of edge_attr for each edge"),
    "a scalar": (lambda e: torch.tensor(1.0), ValueError, "one row of edge_attr for each edge"),
    "a list": (lambda e: [1.0], TypeError, "edge_attr as a dense tensor"),
    "sparse": (lambda e: torch.eye(3).to_sparse(), TypeError, "edge_attr as a dense tensor"),
    "another device": (lambda e: torch.rand(e.size(1), 2, device="meta"), ValueError, "on meta for"),
    "three parts": (None, TypeError, "got tuple"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_attributes_are_refused_with_the_builder(fault):
    attr, error, words = FAULTS[fault]
    build = own(attr) if attr else lambda *_: (1, 2, 3)
    layout = BatchLayout.from_sizes(SIZES)
    grapher = Grapher(8, conv=OPERATORS["transformer"][0], graph=lambda k, d: build, k=3)
    with pytest.raises(error, match=rf"The graph builder .*{words}"):
        grapher(torch.randn(layout.num_nodes, 8), layout)


def test_attributes_of_a_foreign_builder_that_nobody_takes_are_refused_at_the_first_call():
    layout = BatchLayout.from_sizes(SIZES)
    grapher = Grapher(8, conv=conv.MaxRelativeConv, graph=lambda k, d: own(lambda e: torch.rand(e.size(1), 1)), k=3)
    with pytest.raises(ValueError, match=r"but MaxRelativeConv\.forward has no argument edge_attr or edge_weight"):
        grapher(torch.randn(layout.num_nodes, 8), layout)


def test_several_columns_are_no_weight():
    layout = BatchLayout.from_sizes(SIZES)
    grapher = Grapher(8, conv=lambda i, o: GraphConv(i, o), graph=lambda k, d: DilatedKNN(k, edge_attr="offset"), k=3)
    with pytest.raises(ValueError, match="GraphConv accepts one weight per edge"):
        grapher(torch.randn(layout.num_nodes, 8), layout)


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_explanations_keep_the_attributes(family):
    graph = lambda k, d: DilatedKNN(k, d, edge_attr=("rank", "offset"))  # noqa: E731
    model = calibrated(family("micro", conv=lambda i, o: GATv2Conv(i, o, edge_dim=3), graph=graph, num_classes=3))
    image = torch.rand(3, 32, 32)
    with torch.no_grad():
        want, graphs = model(image[None]), model.graphs(image[None])
        explained = ExplainableViG(model, image[None])
        assert torch.allclose(explained(explained.x, explained.edge_index), want, atol=1e-5)
        with fixed_graphs(model, [g.edge_index for g in graphs], [g.edge_attr for g in graphs]):
            assert torch.allclose(model(image[None]), want, atol=1e-5)
    found = attribute(model, image)
    assert [len(part) for part in found.edges] == [g.num_edges for g in graphs]
    with (
        pytest.raises(ValueError, match=r"Expected the attributes of \d Graphers, got 1"),
        fixed_graphs(model, [g.edge_index for g in graphs], [None]),
    ):
        pass


def test_an_attribute_of_that_name_in_a_foreign_builder_may_be_anything():
    class Learned(torch.nn.Module):
        def __init__(self, k, dilation):
            super().__init__()
            self.search, self.edge_attr = DilatedKNN(k, dilation), torch.nn.Parameter(torch.rand(2))

        def forward(self, *args):
            return self.search(*args)

    assert ViG("micro", graph=Learned, num_classes=3, depth=1).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("edge_dim", [None, 1, 3])
@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv", "TransformerConv", "ResGatedGraphConv"])
def test_an_edge_dim_that_does_not_fit_is_refused(name, edge_dim):
    def make(channels, out):
        return getattr(torch_geometric.nn, name)(channels, out, edge_dim=edge_dim)

    model = ViG("micro", graph=partial(DilatedKNN, edge_attr="offset"), conv=make, num_classes=3, depth=1).eval()
    with pytest.raises(ValueError, match=f"{name} has edge_dim={edge_dim}, but .* returns 2 attributes"):
        model(torch.rand(1, 3, 32, 32))
