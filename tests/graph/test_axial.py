import pytest
import torch

from tests.graph.brute import BATCHES, drawn, inputs, neighbors
from vig_pyg.graph import AxialGraph
from vig_pyg.testing import assert_builder


@pytest.mark.parametrize("sizes", BATCHES)
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_strideth_patch_of_row_and_column(sizes, ratio, stride):
    given = inputs(sizes, ratio)
    want = drawn(given[1], given[3], lambda row, column: (row == 0 or column == 0) and (row + column) % stride == 0)
    assert neighbors(AxialGraph(stride=stride)(*given), given[1].num_nodes) == want
    assert assert_builder(AxialGraph(stride=stride), *given) == sum(map(len, want))


def test_rolling_the_map_gives_the_same_neighbors_where_the_stride_divides_the_grid():
    given = inputs([(4, 6)])
    cells = torch.arange(24).view(4, 6)
    rolled = [cells.roll(step, dim) for dim, side in ((0, 4), (1, 6)) for step in range(0, side, 2)]
    want = [set(sources) for sources in torch.stack(rolled, dim=-1).view(24, -1).tolist()]
    assert [set(sources) for sources in neighbors(AxialGraph()(*given), 24)] == want


def test_bad_stride_is_refused():
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        AxialGraph(stride=0)
