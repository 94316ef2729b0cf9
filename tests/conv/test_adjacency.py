import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

from vig_pyg.conv import CONVS, adjacency
from vig_pyg.conv.adjacency import check_size, plain_edges

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks", "ignore:.*to CSR format")


def pairs(edges):
    return sorted(edges.t().tolist())


@pytest.mark.parametrize("seed", range(20))
def test_every_form_holds_the_same_edges(seed):
    generator = torch.Generator().manual_seed(seed)
    m, n = torch.randint(1, 9, (2,), generator=generator).tolist()
    every = torch.cartesian_prod(torch.arange(m), torch.arange(n)).t()
    edges = every[:, torch.rand(every.size(1), generator=generator) < 0.5]
    turned = edges.flip(0)
    forms = [
        to_torch_coo_tensor(turned, size=(n, m)),
        to_torch_csr_tensor(turned, size=(n, m)),
        to_torch_csc_tensor(turned, size=(n, m)),
        to_torch_csc_tensor(edges, size=(m, n)).t(),
        EdgeIndex(edges.contiguous(), sparse_size=(m, n)),
    ]
    for adj in forms:
        found, size = plain_edges(adj, None, "It")
        assert type(found) is torch.Tensor and pairs(found) == pairs(edges) and size == (m, n)
        assert plain_edges(adj, (m, None), "It")[1] == (m, n)
    found, size = plain_edges(edges, (m, n), "It")
    assert found is edges and size == (m, n)


def test_an_entry_that_is_there_twice_is_two_edges():
    twice = torch.sparse_coo_tensor(torch.tensor([[1, 1], [0, 0]]), torch.ones(2), (2, 3), check_invariants=True)
    assert plain_edges(twice, None, "It")[0].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("values", [torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), torch.ones(2, 3) * 2])
def test_weights_are_refused(values):
    size = (2, 3, *values.shape[1:])
    adj = torch.sparse_coo_tensor(torch.tensor([[0, 1], [0, 2]]), values, size, check_invariants=True)
    with pytest.raises(ValueError, match="It has no edge weights, but the values of its matrix are not all 1"):
        plain_edges(adj, None, "It")


@pytest.mark.parametrize("values", [torch.tensor([True, True]), torch.tensor([1, 1]), torch.ones(2).double()])
def test_ones_of_any_type_are_edges(values):
    adj = torch.sparse_coo_tensor(torch.tensor([[0, 1], [0, 2]]), values, (2, 3), check_invariants=True)
    assert plain_edges(adj, None, "It")[0].tolist() == [[0, 2], [0, 1]]


def test_other_flows_have_no_matrices_but_edge_indices_turned():
    with pytest.raises(ValueError, match="which PyG defines for edges"):
        plain_edges(torch.eye(3).to_sparse(), None, "It", "target_to_source")
    edges = EdgeIndex([[0, 1], [3, 4]], sparse_size=(2, 5))
    assert plain_edges(edges, None, "It", "target_to_source")[1] == (5, 2)


@pytest.mark.parametrize("size", [(3, 2), (None, 2), (3, None), (None, None), [3, 2], None])
def test_sizes_that_fit(size):
    check_size(size, 3, 2, "It")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((2, 3), r"3 sources and 2 targets, but edges for 2 sources and 3 targets .*: pass the transposed matrix"),
        ((4, 2), r"but edges for 4 sources and 2 targets \(`size`, or the shape of the matrix\)\.$"),
        ((None, 3), "but edges for None sources and 3 targets"),
        (3, "expects size="),
        ((3, 2, 1), "expects size="),
    ],
)
def test_sizes_that_do_not_fit_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        check_size(size, 3, 2, "It")


class MadeOfParts:
    """What is used of torch_sparse's `SparseTensor`, which few have installed."""

    def __init__(self, edges, size, value=None):
        order = (edges[1] * size[0] + edges[0]).argsort()  # by row, then by column, as there
        self.parts, self.size = (edges[1, order], edges[0, order], None if value is None else value[order]), size[::-1]

    def coo(self):
        return self.parts

    def sparse_sizes(self):
        return self.size


@pytest.mark.parametrize("values", [None, (), (2,)])
def test_a_sparse_tensor_of_torch_sparse(monkeypatch, values):
    monkeypatch.setattr(adjacency, "SparseTensor", MadeOfParts)
    edges = torch.tensor([[0, 1, 2, 1], [1, 1, 0, 0]])
    ones = None if values is None else torch.ones(4, *values)
    found, size = plain_edges(MadeOfParts(edges, (3, 2), ones), None, "It")
    assert size == (3, 2) and sorted(found.t().tolist()) == sorted(edges.t().tolist())
    for conv in CONVS.values():
        operator, x = conv(8, 8).eval(), (torch.rand(3, 8), torch.rand(2, 8))
        torch.testing.assert_close(operator(x, MadeOfParts(edges, (3, 2), ones)), operator(x, edges))
        with pytest.raises(ValueError, match="edges for 2 sources and 3 targets"):
            operator(x, MadeOfParts(edges.flip(0), (2, 3), ones))
        with pytest.raises(ValueError, match="the values of its matrix are not all 1"):
            operator(x, MadeOfParts(edges, (3, 2), torch.tensor([1.0, 1.0, 0.5, 1.0])))
    with pytest.raises(ValueError, match="has flow='target_to_source'"):
        plain_edges(MadeOfParts(edges, (3, 2), ones), None, "It", "target_to_source")
