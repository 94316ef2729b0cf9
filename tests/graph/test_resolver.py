import pytest
import torch
from torch_geometric import EdgeIndex

from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.graph import GRAPHS, GridGraph, Reuse, resolve_graph, sound_edges
from vig_pyg.graph.resolver import is_own
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


def ring(x, layout, x_src, layout_src):
    return torch.arange(layout.num_nodes).repeat(2, 1)


def typed(nodes: torch.Tensor, layout: object, sources: torch.Tensor, source_layout: object, extra: int = 0):
    return ring(nodes, layout, sources, source_layout)


class Callable:
    def __call__(self, x, layout, x_src, layout_src):
        return ring(x, layout, x_src, layout_src)


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize(
    ("builder", "shown"),
    [
        (ring, "the builder ring(x, layout, x_src, layout_src) itself: write"),
        (typed, "def make_typed(k, dilation): return typed, and pass make_typed."),
        (Callable(), "def make_builder(k, dilation): return builder"),
        (lambda x, a, b, c: ring(x, a, b, c), "the builder builder(x, a, b, c)"),
        (lambda x, a, *rest: ring(x, a, *rest), None),  # it could be a factory
        (lambda k, d, x, y: ring, None),
    ],
)
def test_a_builder_in_place_of_its_factory_is_told_how_to_write_it(family, builder, shown):
    with pytest.raises(TypeError) as error:
        family("micro", graph=builder)
    assert shown is None or ("(k, dilation) -> builder" in str(error.value) and shown in str(error.value))
    assert shown is not None or "itself" not in str(error.value)
    stages = ["knn", "knn", "knn", builder] if family is PyramidViG else [builder]
    with pytest.raises(TypeError):
        family("micro", graph=stages)


@pytest.mark.parametrize(
    "factory",
    [
        lambda k, dilation: ring,
        lambda *_: ring,
        lambda k, dilation, a=1, b=2: ring,
        lambda x, y, **_: ring,
        type("Own", (torch.nn.Module,), {"__init__": lambda self, k, d, x=0, y=0: torch.nn.Module.__init__(self),
                                         "forward": lambda self, x, layout, x_src, layout_src: ring(x, layout, 0, 0)}),
    ],
)  # fmt: skip
def test_factories_of_other_signatures_are_accepted(factory):
    assert ViG("micro", graph=factory, num_classes=2)(torch.rand(2, 3, 32, 32)).shape == (2, 2)


def test_k_and_dilation_reach_the_builder():
    assert resolve_graph("random")(7, 2).k == 7
    search = resolve_graph("window")(5, 2).search
    assert (search.k, search.dilation) == (5, 2)


def test_reuse_starts_anew():
    reuse = Reuse(DilatedKNN, every=3)
    reuse(9, 1)
    assert resolve_graph(reuse)(9, 1).builds


def test_an_unknown_name_lists_the_valid_ones():
    names = ", ".join(GRAPHS)
    with pytest.raises(
        ValueError, match=rf"Unknown graph 'kn'\. Did you mean 'knn'\? Choose one of {names}, or pass a callable"
    ):
        ViG("micro", graph="kn")
    with pytest.raises(TypeError, match=r"graph must be a name or a callable \(k, dilation\) -> builder, got 3"):
        ViG("micro", graph=3)


def test_a_builder_in_place_of_its_factory_is_named():
    with pytest.raises(TypeError, match=r"got the builder DilatedKNN.* itself: pass DilatedKNN, or a function"):
        ViG("micro", graph=DilatedKNN(3))
    with pytest.raises(TypeError, match=r"got the builder GridGraph.* itself: pass GridGraph"):
        PyramidViG("micro", graph=["axial", None, "knn", GridGraph()])


def test_options_of_the_search_are_refused_beside_another_graph():
    with pytest.raises(ValueError, match="stochastic=True is an option of DilatedKNN"):
        ViG("micro", graph="axial", stochastic=True)
    assert ViG("micro", graph="knn", stochastic=True).graphers()[0].graph.stochastic


class Mine(DilatedKNN):
    """A subclass may return anything."""


def test_edges_of_our_builders_are_handed_on_as_they_are():
    x, edges = torch.rand(4, 8), torch.zeros(2, 3, dtype=torch.long)
    builders = [resolve_graph(name)(3, 1) for name in GRAPHS]
    assert all(is_own(builder) and sound_edges(edges, builder, x, x) is edges for builder in builders)
    assert is_own(Reuse(DilatedKNN, every=2)(3, 1)) and not is_own(Reuse(lambda k, d: print, every=2)(3, 1))
    assert not is_own(Mine(3))
    builders[0].register_forward_hook(lambda *_: None)
    assert not is_own(builders[0])


def test_edges_of_others_are_sorted():
    x, edges = torch.rand(4, 8), torch.tensor([[3, 0, 2, 1], [1, 0, 1, 0]], dtype=torch.int32)
    found = sound_edges(edges, Mine(3), x, x)
    assert found.tolist() == [[0, 1, 3, 2], [0, 0, 1, 1]] and found.dtype == torch.int64
    assert sound_edges(found, Mine(3), x, x) is found


@pytest.mark.parametrize(
    ("edges", "error", "words"),
    [
        (
            torch.tensor([[4], [0]]),
            IndexError,
            r"builder Mine's edge_index must have source indices in \[0, 4\)",
        ),
        (torch.tensor([[0], [-1]]), IndexError, "targets from -1 to -1"),
        (
            torch.zeros(2, 3),
            TypeError,
            "builder Mine's edge_index must contain .* got torch.float32",
        ),
        (None, TypeError, "got NoneType"),
        (torch.zeros(3, 2, dtype=torch.long), ValueError, "transpose it"),
    ],
)
def test_bad_edges_of_others_are_refused(edges, error, words):
    with pytest.raises(error, match=words):
        sound_edges(edges, Mine(3), torch.rand(4, 8), torch.rand(3, 8))


@pytest.mark.parametrize("order", [None, "row", "col"])
def test_a_builder_may_return_an_edge_index_of_pyg(order):
    x, edges = torch.rand(4, 8), torch.tensor([[0, 0, 1, 3], [1, 2, 0, 0]])
    edges = edges if order != "col" else edges[:, edges[1].argsort(stable=True)]
    found = sound_edges(EdgeIndex(edges.contiguous(), sort_order=order), Mine(3), x, x)
    assert type(found) is torch.Tensor and found.tolist() == [[1, 3, 0, 0], [0, 0, 1, 2]]
    model = ViG("micro", graph=lambda k, d: lambda *given: EdgeIndex(DilatedKNN(k, d)(*given)), num_classes=3).eval()
    plain = ViG("micro", num_classes=3).eval()
    plain.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), plain(images))
