"""Conversion of a graph to networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch_geometric.data import Data

from vig_pyg._requirements import missing_message
from vig_pyg.explain.distances import edge_ranks

if TYPE_CHECKING:
    from networkx import DiGraph


def layer_networkx(graph: Data) -> DiGraph:
    """Convert the graph of one image in one layer to a networkx `DiGraph`, with edges from neighbor to patch.

    If nothing is pooled, `torch_geometric.utils.to_networkx(graph)` is sufficient. If the sources are pooled, they are
    separate nodes after the patches, and the graph is bipartite.

    Args:
        graph: The graph of one image, `model.graphs(images)[layer].get_example(i)`.

    Returns:
        The graph. Its nodes have `pos` (row, column) in patches of this layer, `pooled` (true for a pooled cell), and
        `bipartite` (0 for patches, 1 for pooled cells, as in networkx). Its edges have `rank`, which is 0 for the
        nearest neighbor.

    Raises:
        ImportError: If networkx is not installed.

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
        raise ImportError(missing_message("A graph of networkx needs networkx", "explain")) from error
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
