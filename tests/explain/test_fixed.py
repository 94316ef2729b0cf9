import pytest
import torch

from tests.explain.common import model_of
from tests.ops.hostile import NO_EDGES
from vig_pyg.explain import FixedGraph, fixed_graphs


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_own_graphs_change_nothing(name):
    model, images = model_of(name), torch.rand(2, 3, 32, 32)
    edges = [graph.edge_index for graph in model.graphs(images)]
    with torch.no_grad():
        before = model(images)
        with fixed_graphs(model, edges):
            assert torch.equal(model(images), before)


def test_other_graphs_are_used_and_kept():
    model, images = model_of("vig_micro"), torch.rand(1, 3, 32, 32)
    ring = torch.stack([torch.arange(64).roll(1), torch.arange(64)])
    with fixed_graphs(model, [ring] * 4):
        assert all(torch.equal(graph.edge_index, ring) for graph in model.graphs(images))
        with torch.no_grad():
            changed = model(images)
    assert not torch.allclose(model(images), changed)


def test_the_builders_come_back_even_after_an_error():
    model = model_of("vig_micro")
    builders = [grapher.graph for grapher in model.graphers()]
    edges = [torch.zeros(2, 0, dtype=torch.long)] * 4
    with pytest.raises(KeyError), fixed_graphs(model, edges):
        assert all(isinstance(grapher.graph, FixedGraph) for grapher in model.graphers())
        raise KeyError
    assert all(grapher.graph is builder for grapher, builder in zip(model.graphers(), builders, strict=True))


def test_graphs_that_do_not_fit_are_refused():
    model, images = model_of("vig_micro"), torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="4 Graphers, got 1"), fixed_graphs(model, [torch.zeros(2, 1)]):
        pass
    far = torch.tensor([[64], [0]])
    with fixed_graphs(model, [far] * 4), pytest.raises(ValueError, match=r"source 64 .* 64 sources"):
        model(images)


@pytest.mark.parametrize("edges", NO_EDGES, ids=str)
def test_what_is_no_edges_is_refused_and_the_model_stays(edges):
    model, images = model_of("vig_micro"), torch.rand(1, 3, 32, 32)
    good = [graph.edge_index for graph in model.graphs(images)]
    with fixed_graphs(model, [NO_EDGES[edges], *good[1:]]), pytest.raises((TypeError, ValueError), match="edge_index"):
        model(images)
    assert all(torch.equal(graph.edge_index, edge) for graph, edge in zip(model.graphs(images), good, strict=True))
