"""Visualization and attribution of the graphs that a model builds."""

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)
from vig_pyg.explain.attribution import Attribution, attribute
from vig_pyg.explain.distances import draw_distances, neighbor_distances
from vig_pyg.explain.edges import draw_all
from vig_pyg.explain.explainable import ExplainableViG
from vig_pyg.explain.fixed import FixedGraph, fixed_graphs
from vig_pyg.explain.heat import draw_attribution
from vig_pyg.explain.neighbors import draw_graph
from vig_pyg.explain.page import save_html
from vig_pyg.explain.spectral import graph_gaps, spectral_gap
from vig_pyg.explain.to_networkx import layer_networkx

__all__ = [
    "Attribution",
    "ExplainableViG",
    "FixedGraph",
    "attribute",
    "draw_all",
    "draw_attribution",
    "draw_distances",
    "draw_graph",
    "fixed_graphs",
    "graph_gaps",
    "layer_networkx",
    "neighbor_distances",
    "save_html",
    "spectral_gap",
]
