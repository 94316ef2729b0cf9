"""Kernels of the neighbour search, as torch operators."""

from vig_pyg.kernels.topk import has_native_topk, topk_columns

__all__ = ["has_native_topk", "topk_columns"]
