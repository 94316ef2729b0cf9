"""Graphs over patches: the builder and the engines that search for it."""

from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.dilated_knn import ENGINES, DilatedKNN, Engine, shrink

__all__ = ["ENGINES", "Builder", "DilatedKNN", "Engine", "GraphFactory", "shrink"]
