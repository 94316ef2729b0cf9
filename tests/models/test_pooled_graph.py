"""Graphs with pooled sources in PyG's own transforms and conversions."""

import copy

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import ClusterData, DataLoader, GraphSAINTNodeSampler, ShaDowKHopSampler
from torch_geometric.nn import GATv2Conv
from torch_geometric.utils import to_networkx

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG
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
    for other in (again, copy.copy(batch), copy.deepcopy(batch), batch.clone(), batch.to(batch.pos.device)):
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


#: Arguments of PyG's transforms; `None` are those that need a network, or wrap others.
ARGUMENTS = {
    **dict.fromkeys(["BaseTransform", "Compose", "ComposeFilters", "AddGPSE", "AddRandomMetaPaths"]),
    "AddMetaPaths": ([[("pooled", "patch"), ("patch", "pooled")]],),
    "AddLaplacianEigenvectorPE": (2,),
    "AddRandomWalkPE": (3,),
    "FeaturePropagation": (torch.ones(1, dtype=torch.bool),),
    "FixedPoints": (10,),
    "GridSampling": (2.0,),
    "KNNGraph": (3,),
    "LinearTransformation": (torch.tensor([[0.0, 2.0], [1.0, 0.0]]),),
    "NodePropertySplit": ("popularity", [0.3, 0.1, 0.1, 0.3, 0.2]),
    "OneHotDegree": (20,),
    "Pad": (1000, 5000),
    "RadiusGraph": (1.5,),
    "RandomFlip": (0, 1.0),
    "RandomJitter": (0.1,),
    "RandomRotate": (10,),
    "RandomScale": ((0.5, 0.9),),
    "RandomShear": (0.1,),
    "RemoveTrainingClasses": ([0],),
    "RootedEgoNets": (1,),
    "RootedRWSubgraph": (2,),
    "SIGN": (2,),
    "SVDFeatureReduction": (2,),
    "SamplePoints": (5,),
    "ToDevice": ("cpu",),
}
TRANSFORMS = [name for name in T.__all__ if ARGUMENTS.get(name, ()) is not None]
#: Transforms with results for two sets of nodes.
RIGHT = {"AddSelfLoops", "Center", "Constant", "LinearTransformation", "RemoveDuplicatedEdges", "ToSparseTensor"}


@pytest.fixture(scope="module")
def with_attributes():
    graph = lambda k, d: DilatedKNN(3, edge_attr="offset")  # noqa: E731
    return calibrated(PyramidViG("micro", conv=lambda i, o: GATv2Conv(i, o, edge_dim=2), graph=graph))


def as_plain(graph):
    """The same graph as PyG's own `HeteroData`."""
    plain = HeteroData()
    for store in graph.stores:
        for key, value in store.items():
            (plain if store._key is None else plain[store._key])[key] = value
    return plain


def values_of(graph):
    return {(store._key, key): copy.copy(value) for store in graph.stores for key, value in store.items()}


def same(one, two):
    if one.keys() != two.keys():
        return False
    tensors = [(one[key], two[key]) for key in one if isinstance(one[key], torch.Tensor)]
    return all(a.shape == b.shape and torch.equal(a.to_dense(), b.to_dense()) for a, b in tensors)


@pytest.mark.parametrize("attributes", [False, True])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_of_pyg_does_what_it_does_to_two_sets_or_is_refused(model, with_attributes, name, attributes):
    """With `HeteroData` as the reference; without attributes of edges, transforms write them unasked."""
    batch, _ = graphs_of(with_attributes if attributes else model, SHAPES[2])
    transform = getattr(T, name)(*ARGUMENTS.get(name, ()))
    for graph in (batch[1], batch):
        before, seed = values_of(graph), int(torch.randint(1000, ()))
        torch.manual_seed(seed)
        try:
            found = values_of(transform(graph))
        except AttributeError as error:
            assert (
                str(error).startswith(f"{name} of PyG is for graphs with one set of nodes") or name == "NormalizeScale"
            )
            assert name not in RIGHT
        except (AssertionError, ImportError, TypeError, ValueError):  # those of a `HeteroData`
            with pytest.raises((AssertionError, ImportError, TypeError, ValueError)):
                transform(as_plain(graph))
        else:
            torch.manual_seed(seed)
            assert same(found, values_of(transform(as_plain(graph))))
        assert same(values_of(graph), before)


@pytest.mark.parametrize(
    "name", ["Distance", "Cartesian", "LocalCartesian", "Polar", "PointPairFeatures", "RandomFlip"]
)
def test_transforms_that_read_places_are_refused_by_name(model, with_attributes, name):
    for graphs in (model, with_attributes):
        batch, _ = graphs_of(graphs, SHAPES[1])
        transform = getattr(T, name)(*ARGUMENTS.get(name, ()))
        for graph in (batch[0], batch):
            with pytest.raises(
                AttributeError, match=rf'{name} of PyG is .* has two: patches and pooled .* graph\["patch"\]'
            ):
                T.Compose([T.Center(), transform])(graph)
    unpooled = next(one for one in with_attributes.graphs(torch.rand(1, 3, 32, 32)) if not isinstance(one, HeteroData))
    if name == "Distance":  # with one set of nodes it is right
        row, col = unpooled.edge_index
        want = (unpooled.pos[row] - unpooled.pos[col]).norm(dim=1, keepdim=True)
        assert torch.equal(T.Distance(norm=False)(unpooled).edge_attr[:, -1:], want)


@pytest.mark.parametrize("loader", [ClusterData, GraphSAINTNodeSampler, ShaDowKHopSampler])
def test_loaders_for_one_set_are_refused(model, loader):
    arguments = {"depth": 1, "num_neighbors": 2} if loader is ShaDowKHopSampler else {}
    with pytest.raises((AttributeError, ImportError), match=r"of PyG is for graphs with one set of nodes|requires"):
        list(loader(graphs_of(model, SHAPES[0])[0][0], *(() if arguments else (2,)), **arguments))


def test_own_code_has_the_names(model):
    class Flip(T.BaseTransform):
        def forward(self, data):
            data.pos, data["pos_src"] = -data.pos, -data["pos_src"]
            return data

    graph = graphs_of(model, SHAPES[0])[0][0]
    assert torch.equal(Flip()(graph).pos, -graph.pos) and torch.equal(Flip()(graph).pos_src, -graph.pos_src)
