"""Graph builders: classes that choose the neighbors of each patch, and the names under which they are registered.

A new file in this package is imported automatically. Such a file only needs to register its builder with
`@register_graph`.
"""

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)
from vig_pyg._registry import import_files
from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.edge_attr import EDGE_ATTRS, EdgeAttr, Edges, split_edges, with_edge_attr
from vig_pyg.graph.registry import GRAPHS, list_graphs, register_graph

# isort: split  (lists and messages name the graphs in this order)
from vig_pyg.graph.dilated_knn import ENGINES, DilatedKNN, Engine, shrink  # isort: skip
from vig_pyg.graph.window import WindowGraph  # isort: skip
from vig_pyg.graph.axial import AxialGraph  # isort: skip
from vig_pyg.graph.axial_threshold import ThresholdAxialGraph  # isort: skip
from vig_pyg.graph.cross import CrossGraph  # isort: skip
from vig_pyg.graph.logarithmic import LogGraph  # isort: skip
from vig_pyg.graph.log_rings import LogRingGraph  # isort: skip
from vig_pyg.graph.grid import GridGraph  # isort: skip
from vig_pyg.graph.complete import CompleteGraph  # isort: skip
from vig_pyg.graph.random_graph import RandomGraph  # isort: skip
from vig_pyg.graph.lookahead import Lookahead  # isort: skip
from vig_pyg.graph.resolver import builder_name, is_own, resolve_graph, sound_edges, sound_graph
from vig_pyg.graph.reuse import Reuse
from vig_pyg.graph.stages import (
    Graphs,
    StageGraph,
    each_graph,
    has_stages,
    map_graphs,
    refuse_search_options,
    resolve_graphs,
    searches,
    stage_graphs,
)
from vig_pyg.graph.static import StaticGraph
from vig_pyg.ops import PRECISIONS, Precision

__all__ = [
    "EDGE_ATTRS",
    "ENGINES",
    "GRAPHS",
    "PRECISIONS",
    "AxialGraph",
    "Builder",
    "CompleteGraph",
    "CrossGraph",
    "DilatedKNN",
    "EdgeAttr",
    "Edges",
    "Engine",
    "GraphFactory",
    "Graphs",
    "GridGraph",
    "LogGraph",
    "LogRingGraph",
    "Lookahead",
    "Precision",
    "RandomGraph",
    "Reuse",
    "StageGraph",
    "StaticGraph",
    "ThresholdAxialGraph",
    "WindowGraph",
    "builder_name",
    "each_graph",
    "has_stages",
    "is_own",
    "list_graphs",
    "map_graphs",
    "refuse_search_options",
    "register_graph",
    "resolve_graph",
    "resolve_graphs",
    "searches",
    "shrink",
    "sound_edges",
    "sound_graph",
    "split_edges",
    "stage_graphs",
    "with_edge_attr",
]

import_files(__name__, __path__)
