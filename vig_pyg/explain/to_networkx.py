"""One layer's graph for networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch_geometric.data import Data

from vig_pyg.explain.distances import edge_ranks

if TYPE_CHECKING:
    from networkx import DiGraph


def layer_networkx(graph: Data) -> DiGraph:
    """One image's graph in one layer as a networkx `DiGraph`, edges from neighbor to patch.

    Where nothing is pooled `torch_geometric.utils.to_networkx(graph)` does as well. Pooled sources are other nodes than
    the patches: they follow them, so that the graph is bipartite.

    Args:
        graph: `model.graphs(images)[layer].get_example(i)`.

    Returns:
        Nodes with `pos` (row, column) in patches of the layer's grid, `pooled` (whether it is a pooled cell), and
        `bipartite` (networkx's mark: 0 patches, 1 pooled cells); edges with `rank`, 0 for the nearest neighbor.

    Raises:
        ImportError: If networkx is missing.

    Example:
        >>> import torch
        >>> from vig_pyg import pvig_micro
        >>> graph = pvig_micro().eval().graphs(torch.rand(1, 3, 32, 32))[0].get_example(0)
        >>> print(layer_networkx(graph))
        DiGraph with 272 nodes and 2304 edges
    """
    try:
        from networkx import DiGraph
    except ImportError as error:
        raise ImportError('This needs networkx: pip install "vig-pyg[explain]".') from error
    pooled = int(graph.reduce_ratio) > 1
    out = DiGraph()
    for i, pos in enumerate(graph.pos.tolist()):
        out.add_node(i, pos=tuple(pos), pooled=False, bipartite=0)
    first = 0
    if pooled:
        first = out.number_of_nodes()
        for i, pos in enumerate(graph.pos_src.tolist()):
            out.add_node(first + i, pos=tuple(pos), pooled=True, bipartite=1)
    ranks = edge_ranks(graph.edge_index[1]).tolist()
    for (source, target), rank in zip(graph.edge_index.t().tolist(), ranks, strict=True):
        out.add_edge(first + source, target, rank=rank)
    return out
