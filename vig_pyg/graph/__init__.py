"""Graphs over patches: the builders, their names, and the engines of the neighbor search."""

from vig_pyg.graph.axial import AxialGraph
from vig_pyg.graph.complete import CompleteGraph
from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.dilated_knn import ENGINES, DilatedKNN, Engine, shrink
from vig_pyg.graph.grid import GridGraph
from vig_pyg.graph.logarithmic import LogGraph
from vig_pyg.graph.random_graph import RandomGraph
from vig_pyg.graph.resolver import GRAPHS, resolve_graph, sound_edges
from vig_pyg.graph.reuse import Reuse
from vig_pyg.graph.static import StaticGraph
from vig_pyg.graph.window import WindowGraph

__all__ = [
    "ENGINES",
    "GRAPHS",
    "AxialGraph",
    "Builder",
    "CompleteGraph",
    "DilatedKNN",
    "Engine",
    "GraphFactory",
    "GridGraph",
    "LogGraph",
    "RandomGraph",
    "Reuse",
    "StaticGraph",
    "WindowGraph",
    "resolve_graph",
    "shrink",
    "sound_edges",
]
