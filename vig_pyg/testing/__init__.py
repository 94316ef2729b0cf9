"""Assertions that check your own operators, graph builders and models.

Each function returns the measured error, or raises an `AssertionError` with the numbers. Modules are tested in
evaluation mode, and their mode is restored afterwards. Random choices use fixed seeds.

Shapes: N targets, M sources, E edges, C channels, B images.
"""

from vig_pyg.testing._models import (
    assert_batch_independence,
    assert_block_equivariance,
    assert_builder,
    assert_every_field_matters,
)
from vig_pyg.testing._operators import (
    assert_bipartite_equals_plain,
    assert_edge_order_invariance,
    assert_graph_independence,
    assert_operator,
    assert_parameters_get_gradients,
    assert_permutation_equivariance,
)
from vig_pyg.testing._tools import TOLERANCE

__all__ = [
    "TOLERANCE",
    "assert_batch_independence",
    "assert_bipartite_equals_plain",
    "assert_block_equivariance",
    "assert_builder",
    "assert_edge_order_invariance",
    "assert_every_field_matters",
    "assert_graph_independence",
    "assert_operator",
    "assert_parameters_get_gradients",
    "assert_permutation_equivariance",
]
