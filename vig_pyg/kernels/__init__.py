"""Kernels of search, aggregation and normalisation: native ones for processors, each beside its plain form."""

from vig_pyg.kernels._native import has_native_kernels
from vig_pyg.kernels.checks import check_features, check_range, check_same, checked_edges, is_symbolic
from vig_pyg.kernels.gather import has_max_relative, max_relative
from vig_pyg.kernels.norm import NodeNorm, Norm, has_node_norm
from vig_pyg.kernels.rows import TooManyNeighborsError, edge_rows
from vig_pyg.kernels.search import nearest, unit_rows

__all__ = [
    "NodeNorm",
    "Norm",
    "TooManyNeighborsError",
    "check_features",
    "check_range",
    "check_same",
    "checked_edges",
    "edge_rows",
    "has_max_relative",
    "has_native_kernels",
    "has_node_norm",
    "is_symbolic",
    "max_relative",
    "nearest",
    "unit_rows",
]
