import copy

import pytest
import torch

from tests.graph.brute import free, inputs, neighbors
from vig_pyg import PyramidViG, ViG
from vig_pyg.data import BatchLayout
from vig_pyg.graph import AxialGraph, CompleteGraph, GridGraph, LogGraph, StaticGraph
from vig_pyg.graph.static import nearest_first, offset_edges, one_image
from vig_pyg.testing import assert_batch_independence, assert_builder, assert_parameters_get_gradients

STATIC = [AxialGraph, CompleteGraph, GridGraph, LogGraph]


class Counting(StaticGraph):
    """Each patch and itself; counts how often it had to be made."""

    def __init__(self):
        super().__init__()
        self.made = 0

    def image_edges(self, target, source):
        self.made += 1
        return offset_edges([(0, 0)], target, source)


def test_a_kind_of_graph_must_say_its_edges():
    with pytest.raises(TypeError, match="abstract"):
        StaticGraph()


def test_the_same_layout_again_costs_nothing():
    builder, first = Counting(), inputs([(4, 4), (4, 4)])
    edges = builder(*first)
    assert builder(*inputs([(4, 4), (4, 4)])) is edges and builder.made == 1
    assert builder(*inputs([(4, 4)])).size(1) == 16 and builder.made == 2  # a smaller last batch
    assert builder(*inputs([(4, 4)], ratio=2)).size(1) == 16 and builder.made == 3
    assert builder(*inputs([(2, 8)])).size(1) == 16 and builder.made == 4
    assert torch.equal(builder(*first), edges)


def test_an_option_that_changes_is_seen():
    builder, given = AxialGraph(stride=1), inputs([(5, 5)])
    builder(*given)
    builder.stride = 2
    assert torch.equal(builder(*given), AxialGraph(stride=2)(*given))


def test_a_copy_keeps_edges_of_its_own():
    builder = Counting()
    edges = builder(*inputs([(4, 4)]))
    other = copy.deepcopy(builder)
    assert torch.equal(other(*inputs([(4, 4)])), edges) and other.made == 1
    assert other(*inputs([(4, 4)])) is not edges


@pytest.mark.parametrize("graph", STATIC)
def test_edges_made_in_inference_mode_serve_training(graph):
    model, images = (
        ViG("micro", graph=lambda k, dilation: graph(), conv="edge", num_classes=3),
        torch.rand(2, 3, 32, 32),
    )
    with torch.inference_mode():
        model.eval()(images)
    model.train()(images).sum().backward()
    assert model.graphers()[0].fc1[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("graph", STATIC)
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_models_take_them_and_keep_images_apart(family, graph):
    model = family("micro", graph=lambda k, dilation: graph(), num_classes=5)
    images = [torch.rand(3, 32, 32), torch.rand(3, 24, 40)]
    assert assert_parameters_get_gradients(model, images) > 0
    assert assert_batch_independence(model, images) < 1e-5
    assert assert_batch_independence(model, torch.rand(3, 3, 32, 32)) < 1e-5


@pytest.mark.parametrize("graph", STATIC)
def test_every_target_has_its_own_cell_first(graph):
    x, layout, x_src, layout_src = inputs([(4, 4), (5, 7)], ratio=2)
    first = [sources[0] for sources in neighbors(graph()(x, layout, x_src, layout_src), layout.num_nodes)]
    home = (layout.pos // 2).long()
    columns = torch.tensor([2, 4])[layout.batch]
    assert first == (layout_src.ptr[layout.batch] + home[:, 0] * columns + home[:, 1]).tolist()


@pytest.mark.parametrize("graph", [AxialGraph, GridGraph, LogGraph])
def test_free_points_are_refused(graph):
    with pytest.raises(ValueError, match="needs nodes on a grid, but the batch is a point set"):
        graph()(*free())


def test_sources_of_another_grid_are_refused():
    one, two = BatchLayout.from_sizes([(4, 4)]), BatchLayout.from_sizes([(3, 4)])
    with pytest.raises(ValueError, match=r"source grid \(3, 4\) is not the target grid \(4, 4\) pooled by 1"):
        offset_edges([(0, 0)], one, two)


def test_an_empty_image_is_refused():
    batch, ptr = torch.zeros(0, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    layout = BatchLayout(torch.zeros(0, 2), batch, ptr, (0,), None)
    with pytest.raises(ValueError, match="Every image needs at least one node"):
        CompleteGraph()(torch.zeros(0, 4), layout, torch.zeros(0, 4), layout)


def test_one_image_of_a_batch():
    layout = BatchLayout.from_sizes([(2, 2), (3, 1)])
    one = one_image(layout, 1)
    assert torch.equal(one.pos, BatchLayout.from_sizes([(3, 1)]).pos)
    assert (one.num_nodes_per_graph, one.grid_sizes) == ((3,), ((3, 1),))
    assert (one.ptr.tolist(), one.batch.tolist()) == ([0, 3], [0, 0, 0])


def test_offsets_by_length_then_raster_order():
    assert nearest_first([(1, 1), (0, 1), (1, 0), (0, 0), (-1, 0)]) == [(0, 0), (-1, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("graph", STATIC)
def test_compiles_in_one_piece(graph):
    builder, given = graph(), inputs([(4, 4), (4, 4)])
    compiled = torch.compile(builder, fullgraph=True, backend="eager")
    assert torch.equal(compiled(*given), builder(*given))


@pytest.mark.parametrize("graph", STATIC)
def test_contract_after_another_batch(graph):
    builder = graph()
    builder(*inputs([(3, 3)]))
    assert assert_builder(builder, *inputs([(2, 3), (4, 4)])) > 0


@pytest.mark.parametrize("kind", STATIC)
def test_what_a_user_writes_into_edges_stays_with_them(kind):
    builder, nodes = kind(), inputs([(4, 4), (4, 4)])
    edges = builder(*nodes)
    right = edges.clone()
    edges += 1
    assert torch.equal(builder(*nodes), right)
    assert builder(*nodes) is builder(*nodes)  # kept again


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_a_model_can_be_used_and_copied_after_an_export(family):
    model, images = family("micro", graph="axial", num_classes=3, image_size=32).eval(), torch.rand(2, 3, 32, 32)
    want = copy.deepcopy(model)(images)
    program = torch.export.export(model, (images,))
    for one in (program.module(), copy.deepcopy(model), model):
        torch.testing.assert_close(one(images), want, rtol=1e-4, atol=1e-4)
