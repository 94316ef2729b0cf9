import pytest

from tests.graph.brute import BATCHES, drawn, inputs, neighbors
from vig_pyg.graph import GridGraph
from vig_pyg.testing import assert_builder


@pytest.mark.parametrize("sizes", BATCHES)
@pytest.mark.parametrize("ratio", [1, 2])
def test_the_eight_cells_around_and_the_cell_itself(sizes, ratio):
    given = inputs(sizes, ratio)
    want = drawn(given[1], given[3], lambda row, column: max(abs(row), abs(column)) <= 1)
    assert neighbors(GridGraph()(*given), given[1].num_nodes) == want
    assert assert_builder(GridGraph(), *given) == sum(map(len, want))


def test_corner_side_and_middle():
    degree = GridGraph()(*inputs([(3, 3)]))[1].bincount()
    assert degree.tolist() == [4, 6, 4, 6, 9, 6, 4, 6, 4]
