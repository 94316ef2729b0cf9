"""Graphs with pooled sources in PyG's own transforms and conversions."""

import copy

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.utils import to_networkx

from tests.common import calibrated
from vig_pyg import PyramidViG
from vig_pyg.models.pooled_graph import EDGE, PooledGraph

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks", "ignore:.*to CSR format")
SHAPES = [[(32, 32)], [(32, 32), (32, 32)], [(32, 40), (24, 32), (40, 40)]]


@pytest.fixture(scope="module")
def model():
    return calibrated(PyramidViG("micro", k=3))


def graphs_of(model, sizes):
    """The graphs of the first layer, whose sources are pooled, and the sizes of both node sets."""
    batch = model.graphs([torch.rand(3, *size) for size in sizes])[0]
    return batch, [(len(one.pos), len(one.pos_src)) for one in batch.to_data_list()]


def pairs(graph):
    return set(map(tuple, graph.edge_index.t().tolist()))


@pytest.mark.parametrize("sizes", SHAPES)
def test_it_is_bipartite_and_valid(model, sizes):
    batch, counts = graphs_of(model, sizes)
    assert isinstance(batch, Batch) and isinstance(batch, HeteroData) and batch.num_graphs == len(sizes)
    assert batch.validate() and batch.edge_types == [EDGE]
    assert batch["patch"].num_nodes == sum(n for n, _ in counts) and batch["pooled"].num_nodes == sum(
        m for _, m in counts
    )
    first = torch.zeros(2, 1, dtype=torch.long)
    for i, one in enumerate(batch.to_data_list()):
        assert isinstance(one, PooledGraph) and one.validate() and int(one.reduce_ratio) > 1
        here = batch.batch[batch.edge_index[1]] == i
        assert torch.equal(batch.edge_index[:, here] - first, one.edge_index)
        first += torch.tensor([[counts[i][1]], [counts[i][0]]])
        assert tuple(one.grid_size) == tuple(batch.grid_size[i]) and torch.equal(batch[i].edge_index, one.edge_index)


def test_layers_without_pooling_stay_plain_data(model):
    kinds = {
        int(batch.reduce_ratio[0]) > 1: isinstance(batch, HeteroData)
        for batch in model.graphs(torch.rand(1, 3, 32, 32))
    }
    assert kinds == {True: True, False: False}


@pytest.mark.parametrize("sizes", SHAPES)
def test_to_undirected_adds_edges_back_to_the_pooled_cells(model, sizes):
    batch, _ = graphs_of(model, sizes)
    for one in batch.to_data_list():
        both = T.ToUndirected()(copy.copy(one))
        assert len(both.edge_types) == 2 and both.validate()
        back = next(kind for kind in both.edge_types if kind[0] == "patch")
        assert set(map(tuple, both[back].edge_index.flip(0).t().tolist())) == pairs(one)


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_to_sparse_tensor_has_a_row_for_each_patch(model, layout):
    batch, counts = graphs_of(model, SHAPES[2])
    for one, (n, m) in zip(batch.to_data_list(), counts, strict=True):
        adj_t = T.ToSparseTensor(layout=layout)(copy.copy(one))[EDGE].adj_t
        assert tuple(adj_t.shape) == (n, m)
        dense = adj_t.to_dense()
        assert set(map(tuple, dense.nonzero().flip(1).tolist())) == pairs(one)


def test_to_networkx_has_all_nodes_and_no_loops(model):
    batch, counts = graphs_of(model, SHAPES[2])
    for one, (n, m) in zip(batch.to_data_list(), counts, strict=True):
        network = to_networkx(one)
        assert network.number_of_nodes() == n + m and network.number_of_edges() == len(pairs(one))
        ends = {(network.nodes[a]["type"], network.nodes[b]["type"]) for a, b in network.edges()}
        assert ends == {("pooled", "patch")}


def test_loaders_and_copies_keep_the_names(model):
    batch, _ = graphs_of(model, SHAPES[2])
    again = next(iter(DataLoader(batch.to_data_list(), batch_size=3)))
    for other in (again, copy.copy(batch), copy.deepcopy(batch), batch.clone(), batch.to("cpu")):
        for name in ("edge_index", "pos", "pos_src", "batch", "ptr"):
            assert torch.equal(getattr(other, name), getattr(batch, name)), name
    assert again.num_edges == batch.edge_index.size(1)
    with pytest.raises(AttributeError, match="has no edge_attr"):
        _ = batch.edge_attr
    assert not hasattr(batch, "nothing") and "edge_index" in batch and "edge_attr" not in batch
    batch.pos_src = batch.pos_src + 1
    assert torch.equal(batch["pooled"].pos, batch.pos_src) and not torch.equal(again.pos_src, batch.pos_src)


@pytest.mark.parametrize("key", ["pos", "pos_src", "edge_index"])
def test_items_are_attributes(key):
    graph = PooledGraph(pos=torch.rand(4, 2), pos_src=torch.rand(1, 2), edge_index=torch.tensor([[0], [3]]))
    assert graph[key] is getattr(graph, key) and set(graph.node_types) == {"patch", "pooled"}
    other = graph[key].clone()
    graph[key] = other
    assert getattr(graph, key) is other and set(graph.node_types) == {"patch", "pooled"}
