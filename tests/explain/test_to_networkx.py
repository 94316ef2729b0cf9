import networkx
import pytest
from torch_geometric.utils import to_networkx

from tests.explain.common import image_and_graphs
from vig_pyg.explain import layer_networkx


def test_pygs_own_way_works_where_nothing_is_pooled():
    _, graphs = image_and_graphs("vig_micro")
    graph = graphs[0].get_example(0)
    found = to_networkx(graph, node_attrs=["pos"], graph_attrs=["k", "dilation"])
    assert set(found.edges) == {tuple(edge) for edge in graph.edge_index.t().tolist()}
    assert [found.nodes[i]["pos"] for i in range(64)] == graph.pos.tolist()
    assert found.graph == {"k": [9], "dilation": [1]}  # PyG keeps what a batch made of a number
    ours = layer_networkx(graph)
    assert set(ours.edges) == set(found.edges)
    assert not any(pooled for _, pooled in ours.nodes(data="pooled"))


def test_pooled_sources_are_nodes_of_their_own():
    _, graphs = image_and_graphs("pvig_micro")
    graph = graphs[0].get_example(0)
    found = layer_networkx(graph)
    patches, cells = graph.pos.size(0), graph.pos_src.size(0)
    assert cells < patches
    assert len(found) == patches + cells
    assert networkx.is_bipartite(found)
    assert [pooled for _, pooled in found.nodes(data="pooled")] == [False] * patches + [True] * cells
    assert [side for _, side in found.nodes(data="bipartite")] == [0] * patches + [1] * cells
    assert list(found.nodes[patches + 1]["pos"]) == graph.pos_src[1].tolist()
    assert set(found.edges) == {(patches + i, j) for i, j in graph.edge_index.t().tolist()}


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_the_rank_counts_the_neighbors_from_the_nearest(name):
    _, graphs = image_and_graphs(name)
    graph = graphs[0].get_example(0)
    found = layer_networkx(graph)
    ranked = sorted(found.in_edges(5, data="rank"), key=lambda edge: edge[2])
    first = graph.pos.size(0) if graph.reduce_ratio > 1 else 0
    assert [source - first for source, _, _ in ranked] == graph.edge_index[0, graph.edge_index[1] == 5].tolist()
    assert [rank for _, _, rank in ranked] == list(range(int(graph.k)))


def test_missing_networkx_names_the_extra(monkeypatch):
    _, graphs = image_and_graphs("vig_micro")
    monkeypatch.setitem(__import__("sys").modules, "networkx", None)
    with pytest.raises(ImportError, match=r"\(extra explain\): .*install"):
        layer_networkx(graphs[0].get_example(0))
