"""Neighbor search, aggregation, normalization and recomputation as functions.

Each function selects its implementation: native code on a CPU, Triton on a GPU, and plain torch elsewhere. The autograd
functions that recompute intermediates are differentiable once, and equal the layers they replace up to rounding.
"""

from vig_pyg.ops._autocast import autocast_device, autocast_type
from vig_pyg.ops._batch_norm import NodeNorm, Norm, has_node_norm
from vig_pyg.ops._eager import is_eager_on_cpu
from vig_pyg.ops._exporting import is_exporting
from vig_pyg.ops._knn import knn
from vig_pyg.ops._knn_any_size import knn_any_size
from vig_pyg.ops._knn_max_relative import knn_max_relative, prefers_no_edges
from vig_pyg.ops._knn_plain import PRECISIONS, Precision, unit_rows
from vig_pyg.ops._max_relative import has_max_relative, max_relative
from vig_pyg.ops._native import has_native_kernels
from vig_pyg.ops._products import has_one_dnn, one_dnn_linear
from vig_pyg.ops._readable import has_own_numbers, readable_heads
from vig_pyg.ops._recomputable import recomputable
from vig_pyg.ops._symbolic import is_open, is_surely
from vig_pyg.ops._threads import map_on_threads
from vig_pyg.ops._transforms import is_transformed, without_transforms
from vig_pyg.ops.average_pool import average_pool
from vig_pyg.ops.bias_gelu import bias_gelu_
from vig_pyg.ops.checks import check_features, check_range, check_same, checked_edges, is_symbolic
from vig_pyg.ops.edge_max import edge_max
from vig_pyg.ops.grouped_linear import GroupedLinear, grouped, multi_head_linear
from vig_pyg.ops.mlp import batch_norm_gelu, linear_norm, mlp
from vig_pyg.ops.recomputed import RecomputedLinearNorm, RecomputedMLP, RecomputedNorm
from vig_pyg.ops.resized_rows import resized_rows
from vig_pyg.ops.rows import TooManyNeighborsError, edge_rows
from vig_pyg.ops.tiled import TiledMLP

__all__ = [
    "PRECISIONS",
    "GroupedLinear",
    "NodeNorm",
    "Norm",
    "Precision",
    "RecomputedLinearNorm",
    "RecomputedMLP",
    "RecomputedNorm",
    "TiledMLP",
    "TooManyNeighborsError",
    "autocast_device",
    "autocast_type",
    "average_pool",
    "batch_norm_gelu",
    "bias_gelu_",
    "check_features",
    "check_range",
    "check_same",
    "checked_edges",
    "edge_max",
    "edge_rows",
    "grouped",
    "has_max_relative",
    "has_native_kernels",
    "has_node_norm",
    "has_one_dnn",
    "has_own_numbers",
    "is_eager_on_cpu",
    "is_exporting",
    "is_open",
    "is_surely",
    "is_symbolic",
    "is_transformed",
    "knn",
    "knn_any_size",
    "knn_max_relative",
    "linear_norm",
    "map_on_threads",
    "max_relative",
    "mlp",
    "multi_head_linear",
    "one_dnn_linear",
    "prefers_no_edges",
    "readable_heads",
    "recomputable",
    "resized_rows",
    "unit_rows",
    "without_transforms",
]
