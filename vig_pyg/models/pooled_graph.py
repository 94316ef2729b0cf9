"""The graph of one image whose sources are pooled: a bipartite graph from pooled cells to patches."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from torch_geometric.data import HeteroData

PATCH, POOLED = "patch", "pooled"
#: The edge type: messages go from pooled cells to patches.
EDGE = (POOLED, "to", PATCH)
#: Names of an unpooled graph, and the node or edge attributes to which they refer.
_PLACES: dict[str, tuple[str | tuple[str, str, str], str]] = {
    "pos": (PATCH, "pos"),
    "batch": (PATCH, "batch"),
    "ptr": (PATCH, "ptr"),
    "pos_src": (POOLED, "pos"),
    "edge_index": (EDGE, "edge_index"),
    "edge_attr": (EDGE, "edge_attr"),
}
#: PyG's modules whose code assumes that these names belong to a graph with one node set.
_FOR_ONE_SET = ("torch_geometric.transforms.", "torch_geometric.loader.")


class PooledGraph(HeteroData):
    """A bipartite graph with the node types `"patch"` (targets) and `"pooled"` (sources).

    Because it is a `HeteroData`, PyG's transforms and conversions give correct results. With a plain `Data`, they would
    confuse target i with source i. The names of an unpooled graph (`edge_index`, `pos`, `pos_src`, `batch`, `ptr`) are
    valid too. PyG's transforms and loaders for one node set, such as `Distance`, `Cartesian` and `RandomFlip`, would
    give wrong results with these names, so they get an `AttributeError`. Instead of `Distance` (between features) and
    `Cartesian`, use the options `edge_attr="distance"` and `"offset"` of a graph builder.

    Args:
        values: Attributes of the nodes and edges, by the names of an unpooled graph.

    Example:
        >>> import torch
        >>> graph = PooledGraph(pos=torch.rand(4, 2), pos_src=torch.rand(1, 2), edge_index=torch.tensor([[0], [3]]))
        >>> graph.node_types, graph["pooled", "to", "patch"].edge_index is graph.edge_index
        (['patch', 'pooled'], True)
    """

    def __init__(self, **values: Any) -> None:
        super().__init__()
        for key, value in values.items():
            setattr(self, key, value)

    def __getattr__(self, key: str) -> Any:
        if key in _PLACES:
            _check_caller(self, key, sys._getframe(1))
            place, name = _PLACES[key]
            stores = self.__dict__.get("_edge_store_dict" if isinstance(place, tuple) else "_node_store_dict", {})
            if place in stores and name in stores[place]:
                return stores[place][name]
            raise AttributeError(f"{type(self).__name__} has no {key}.")
        if key == "items":  # of a `HeteroData` it has no node and no edge, so `FixedPoints` would do nothing
            _check_caller(self, key, sys._getframe(1))
        try:
            return super().__getattr__(key)
        except AttributeError:
            _check_caller(self, key, sys._getframe(1))
            raise

    def __getitem__(self, *args: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], str) and args[0] in _PLACES:
            _check_caller(self, args[0], sys._getframe(1))
            return getattr(self, args[0])
        return super().__getitem__(*args)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, str) and key in _PLACES:
            _check_caller(self, key, sys._getframe(1))
            setattr(self, key, value)
        else:
            super().__setitem__(key, value)

    def __setattr__(self, key: str, value: Any) -> None:
        if key in _PLACES:
            _check_caller(self, key, sys._getframe(1))
            place, name = _PLACES[key]
            self[place][name] = value
        else:
            super().__setattr__(key, value)


def _check_caller(graph: PooledGraph, key: str, caller: FrameType) -> None:
    """Raise `AttributeError` if PyG's code for graphs with one node set uses one of their names."""
    module = str(caller.f_globals.get("__name__", ""))
    if module.startswith(_FOR_ONE_SET):
        owner = type(caller.f_locals.get("self")).__name__ if "self" in caller.f_locals else module
        raise AttributeError(
            f"{owner} of PyG is for graphs with one set of nodes, but a {type(graph).__name__} has two: patches and "
            f"pooled cells (it uses {key!r}, which would be wrong). Use a transform for HeteroData, or the values of "
            f'one node type, such as graph["{PATCH}"].pos. Graph builders return offsets and distances of edges with '
            'edge_attr="offset" and "distance".'
        )
