import pytest
import torch

from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.graph import GRAPHS, Reuse, resolve_graph
from vig_pyg.testing import assert_parameters_get_gradients


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_every_name_makes_a_model(family, name):
    model = family("micro", graph=name, num_classes=3)
    assert assert_parameters_get_gradients(model, torch.rand(2, 3, 32, 32)) > 0


def test_knn_and_none_are_the_model_s_own_search():
    models = [PyramidViG("micro", graph=graph, position="grid", knn_engine="dense") for graph in (None, "knn")]
    for model in models:
        search = model.graphers()[0].graph
        assert (type(search), search.engine, search.position.mode) == (DilatedKNN, "dense", "grid")


def test_a_factory_stays_as_it_is():
    def factory(k, dilation):
        return DilatedKNN(1)

    assert resolve_graph(factory) is factory
    assert resolve_graph(None) is DilatedKNN


def test_k_and_dilation_reach_the_builder():
    assert resolve_graph("random")(7, 2).k == 7
    search = resolve_graph("window")(5, 2).search
    assert (search.k, search.dilation) == (5, 2)


def test_reuse_starts_anew():
    reuse = Reuse(DilatedKNN, every=3)
    reuse(9, 1)
    assert resolve_graph(reuse)(9, 1).builds


def test_an_unknown_name_lists_the_valid_ones():
    names = "knn, window, axial, log, grid, complete, random"
    with pytest.raises(ValueError, match=f"Unknown graph 'kn': choose one of {names}, or pass a callable"):
        ViG("micro", graph="kn")
    with pytest.raises(TypeError, match=r"graph must be a name or a callable \(k, dilation\) -> builder, got 3"):
        ViG("micro", graph=3)


def test_options_of_the_search_are_refused_beside_another_graph():
    with pytest.raises(ValueError, match="stochastic=True is an option of DilatedKNN"):
        ViG("micro", graph="axial", stochastic=True)
    assert ViG("micro", graph="knn", stochastic=True).graphers()[0].graph.stochastic
