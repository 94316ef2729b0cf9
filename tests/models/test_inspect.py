import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch

from tests.common import calibrated
from tests.ops.hostile import NO_EDGES
from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.graph import GRAPHS, Lookahead, Reuse, shrink

SIZES = [(32, 32), (24, 40), (8, 8)]


@pytest.fixture(params=[ViG, PyramidViG])
def model(request):
    return calibrated(request.param("micro", num_classes=5))


def images(kind):
    return torch.rand(2, 3, 32, 32) if kind == "stack" else [torch.rand(3, *size) for size in SIZES]


@pytest.mark.parametrize("kind", ["stack", "list"])
def test_one_batch_a_grapher_and_one_graph_an_image(model, kind):
    pictures = images(kind)
    graphs = model.graphs(pictures)
    assert len(graphs) == len(model.graphers())
    for batch, grapher in zip(graphs, model.graphers(), strict=True):
        assert isinstance(batch, Batch) and batch.num_graphs == len(pictures)
        for part in batch.to_data_list():
            height, width = part.grid_size
            assert part.pos.shape == (height * width, 2)
            assert part.reduce_ratio == grapher.reduce_ratio
            assert (part.k, part.dilation) == shrink(grapher.k, grapher.dilation, part.pos_src.size(0))
            assert part.edge_index.shape == (2, part.k * height * width)
            assert part.edge_index[0].max() < part.pos_src.size(0)
            assert torch.equal(part.edge_index[1], torch.arange(height * width).repeat_interleave(part.k))


@pytest.mark.parametrize("kind", ["stack", "list"])
def test_they_are_the_graphs_that_were_used(model, kind):
    pictures, used = images(kind), []
    for grapher in model.graphers():
        grapher.conv.register_forward_pre_hook(lambda module, inputs: used.append(inputs[1]))
    graphs = model.graphs(pictures)
    for batch, edge_index in zip(graphs, used, strict=True):
        assert torch.equal(batch.edge_index, edge_index)


def test_graphs_of_a_list_are_those_of_each_image(model):
    pictures = images("list")
    together = [batch.to_data_list() for batch in model.graphs(pictures)]
    for i, picture in enumerate(pictures):
        for batch, one in zip(together, model.graphs([picture]), strict=True):
            assert torch.equal(batch[i].edge_index, one.edge_index)
            assert torch.equal(batch[i].pos_src, one.pos_src)


def test_hooks_are_gone_afterwards_and_after_an_error(model):
    model.graphs(images("stack"))
    with pytest.raises(ValueError, match="3 channels"):
        model.graphs(torch.rand(1, 2, 32, 32))
    assert not any(grapher.graph._forward_hooks for grapher in model.graphers())


def test_graphs_of_a_batch_of_patches():
    model = calibrated(ViG("micro"))
    pictures = images("list")
    for one, two in zip(model.graphs(pictures), model.graphs(model.embed(pictures)), strict=True):
        assert torch.equal(one.edge_index, two.edge_index)


def test_graphs_hold_no_gradient(model):
    assert not any(value.requires_grad for batch in model.graphs(images("stack")) for value in [batch.pos])


def test_another_builder_shows_its_own_edges():
    model = ViG("micro", graph=lambda k, dilation: DilatedKNN(2)).eval()
    assert all(batch.edge_index.size(1) == 2 * batch.num_nodes for batch in model.graphs(images("stack")))


@pytest.mark.parametrize("edges", NO_EDGES, ids=str)
def test_what_another_builder_returns_is_checked(edges):
    model = ViG("micro", graph=lambda k, dilation: lambda *nodes: NO_EDGES[edges]).eval()
    with pytest.raises((TypeError, ValueError), match=r"graph builder .* edge_index"):
        model.graphs(images("stack"))
    assert not any(grapher.graph._forward_hooks for grapher in model.graphers())


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_edges_of_another_builder_are_shown_as_the_model_uses_them(kind):
    def reverse(x, layout, x_src, layout_src):
        return torch.arange(layout.num_nodes - 1, -1, -1, dtype=kind).expand(2, -1)

    for batch in ViG("micro", graph=lambda k, dilation: reverse).eval().graphs(images("stack")):
        assert torch.equal(batch.edge_index, torch.arange(batch.num_nodes).expand(2, -1))


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("graph", ["knn", "window", "axial", "log", "grid", "complete", "random"])
def test_pyg_can_be_told_that_the_edges_are_sorted(family, graph):
    model = family("micro", graph=graph, k=3).eval()
    for batch in model.graphs([torch.rand(3, 32, 32), torch.rand(3, 40, 32)]):
        for one in (batch, *batch.to_data_list()):
            size = len(one.pos_src), len(one.pos)
            edges = EdgeIndex(one.edge_index.contiguous(), sparse_size=size, sort_order="col")
            assert edges.validate().is_sorted_by_col


class Subclass(DilatedKNN):
    """It may return its edges in any order."""


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize(
    ("graph", "sorted_by_distance"),
    [
        *[(name, name in ("knn", "window", "window_dilated", "lookahead")) for name in GRAPHS],
        (Reuse(DilatedKNN, every=2), True),
        (Lookahead(DilatedKNN), True),
        (Reuse(GRAPHS["grid"], every=2), False),
        (Subclass, False),
        (lambda k, dilation: lambda *given: DilatedKNN(k)(*given), False),
    ],
)
def test_graphs_tell_whether_their_edges_are_sorted_by_distance(family, graph, sorted_by_distance):
    for batch in family("micro", graph=graph, num_classes=3).eval().graphs(torch.rand(2, 3, 32, 32)):
        assert [bool(one.by_distance) for one in batch.to_data_list()] == [sorted_by_distance] * 2
