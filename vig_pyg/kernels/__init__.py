"""Kernels of search and aggregation, as torch operators."""

from vig_pyg.kernels._native import has_native_kernels
from vig_pyg.kernels.gather import TooManyNeighborsError, has_max_relative, max_relative
from vig_pyg.kernels.search import nearest, unit_rows

__all__ = ["TooManyNeighborsError", "has_max_relative", "has_native_kernels", "max_relative", "nearest", "unit_rows"]
