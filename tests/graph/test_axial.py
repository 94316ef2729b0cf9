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


@pytest.mark.parametrize("sizes", [*BATCHES, [(7, 7)], [(8, 5)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 8])
def test_on_rings_it_is_what_rolling_the_map_gives(sizes, ratio, stride):
    given = inputs(sizes, ratio)
    _, layout, _, layout_src = given
    want, first = [], 0
    for (height, width), (rows, columns) in zip(layout.grid_sizes, layout_src.grid_sizes, strict=True):
        cells = first + torch.arange(rows * columns).view(rows, columns)
        rolled = [cells.roll(i, 0) for i in range(0, rows, stride)] + [
            cells.roll(j, 1) for j in range(0, columns, stride)
        ]
        sources = torch.stack(rolled, dim=-1).tolist()
        want += [set(sources[r // ratio][c // ratio]) for r in range(height) for c in range(width)]
        first += rows * columns
    builder = AxialGraph(stride=stride, wrap=True)
    got = neighbors(builder(*given), layout.num_nodes)
    assert [set(one) for one in got] == want and all(len(one) == len(set(one)) for one in got)
    assert assert_builder(builder, *given) == sum(map(len, want))
