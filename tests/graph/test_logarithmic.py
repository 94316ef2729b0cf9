from itertools import pairwise

import pytest

from tests.graph.brute import BATCHES, drawn, inputs, neighbors
from vig_pyg.graph import LogGraph
from vig_pyg.testing import assert_builder


@pytest.mark.parametrize("sizes", [*BATCHES, [(1, 40)]])
@pytest.mark.parametrize("ratio", [1, 2])
def test_distances_are_powers_of_two_along_row_and_column(sizes, ratio):
    given = inputs(sizes, ratio)

    def linked(row, column):
        return (row == 0 or column == 0) and abs(row + column) in (0, 1, 2, 4, 8, 16, 32)

    want = drawn(given[1], given[3], linked)
    assert neighbors(LogGraph()(*given), given[1].num_nodes) == want
    assert assert_builder(LogGraph(), *given) == sum(map(len, want))


def test_degree_grows_with_the_logarithm():
    degree = [LogGraph()(*inputs([(1, side)]))[1].bincount().max().item() for side in (2, 4, 8, 16, 32, 64)]
    assert [b - a for a, b in pairwise(degree)] == [2, 2, 2, 2, 2]
