import pytest
import torch

from vig_pyg import DilatedKNN
from vig_pyg.data import BatchLayout, pool_nodes
from vig_pyg.graph.search import Search
from vig_pyg.ops import knn, max_relative

#: Grids of equal images, and how much the sources are pooled.
LAYOUTS = [([(4, 6)] * 3, 1), ([(4, 6)] * 2, 2), ([(5, 3)], 2), ([(1, 1)] * 2, 1)]


def nodes(sizes, ratio, channels=16):
    layout = BatchLayout.from_sizes(sizes)
    x = torch.randn(layout.num_nodes, channels, requires_grad=True)
    return x, layout, *pool_nodes(x, layout, ratio)


@pytest.mark.parametrize(("sizes", "ratio"), LAYOUTS)
@pytest.mark.parametrize("options", [{}, {"position": "grid"}, {"position": "official"}, {"engine": "dense"}])
@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (3, 1), (3, 2), (9, 4)])
def test_a_search_finds_the_edges_of_its_builder(sizes, ratio, options, k, dilation):
    builder, given = DilatedKNN(k, dilation, **options), nodes(sizes, ratio)
    search, edges = builder.search(*given), builder(*given)
    found = knn(search.x, search.y, search.k, step=search.step, bias=search.bias, normalize=search.normalize)
    assert torch.equal(found, edges)
    want = max_relative(given[2], given[0], edges)
    assert torch.equal(search.max_relative(), want)


def test_features_keep_their_gradients():
    x, *rest = nodes([(4, 6)], 2)
    search = DilatedKNN(3).search(x, *rest)
    assert search.x.requires_grad and search.y.requires_grad
    assert torch.autograd.grad(search.max_relative().sum(), x)[0].ne(0).any()


@pytest.mark.parametrize(
    ("options", "sizes", "training"),
    [
        ({"engine": "torch_cluster"}, [(4, 6)], False),
        ({"stochastic": True}, [(4, 6)], True),
        ({}, [(4, 6), (2, 3)], False),
        ({"position": "grid"}, [(4, 6), (6, 4)], False),
    ],
)
def test_one_search_does_not_give_every_graph(options, sizes, training):
    assert DilatedKNN(3, 2, **options).train(training).search(*nodes(sizes, 1)) is None
    if training:
        assert DilatedKNN(3, 2, **options).eval().search(*nodes(sizes, 1)) is not None


def test_a_large_table_of_positions_needs_a_gpu_for_one_search():
    """It is no table there, but terms of columns and rows, which kernels for GPUs add up."""
    given = nodes([(80, 80)], 1)
    search = DilatedKNN(3, 2, position="grid").search(*given)
    assert (search is not None) == given[0].is_cuda
    assert search is None or (search.grid_width == 80 and search.bias.shape == (1, 160, 6400))


def test_nodes_of_another_layout_are_refused():
    x, layout, x_src, layout_src = nodes([(4, 6)], 2)
    with pytest.raises(ValueError, match="pass the layout of these images"):
        DilatedKNN(3).search(x[:-1], layout, x_src, layout_src)
    with pytest.raises(ValueError, match="at least one node"):
        none = BatchLayout.from_sizes([(0, 4)])
        DilatedKNN(3).search(x[:0], none, x[:0], none)


def test_fields_are_those_of_knn():
    x = torch.randn(2, 5, 16)
    assert Search(x, x, 3, step=2).max_relative().shape == (10, 32)
