import pytest
import torch

from tests.graph.brute import BATCHES, free, inputs, neighbors
from vig_pyg import GreedyViG
from vig_pyg.graph import LogRingGraph
from vig_pyg.testing import assert_builder


def cells(size, size_src, ratio, base):
    """The sources of each target by loops, as a set of cells."""
    (height, width), (rows, columns) = size, size_src
    steps = [base**i - 1 for i in range(1, 12)]
    found = []
    for row in range(height):
        for column in range(width):
            r, c = row // ratio, column // ratio
            own = {(r, c)}
            own |= {((r + sign * step) % rows, c) for step in steps if step < rows for sign in (-1, 1)}
            own |= {(r, (c + sign * step) % columns) for step in steps if step < columns for sign in (-1, 1)}
            found.append(own)
    return found


@pytest.mark.parametrize("sizes", [*BATCHES, [(1, 40)], [(9, 16), (16, 9)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("base", [2, 3, 5])
def test_distances_are_powers_less_one_on_rings(sizes, ratio, base):
    given = inputs(sizes, ratio)
    _, layout, _, layout_src = given
    found = neighbors(LogRingGraph(base=base)(*given), layout.num_nodes)
    want, first = [], 0
    for size, size_src in zip(layout.grid_sizes, layout_src.grid_sizes, strict=True):
        for own in cells(size, size_src, ratio, base):
            want.append({first + r * size_src[1] + c for r, c in own})
        first += size_src[0] * size_src[1]
    assert list(map(set, found)) == want and list(map(len, found)) == list(map(len, want))
    assert assert_builder(LogRingGraph(base=base), *given) == sum(map(len, want))


@pytest.mark.parametrize("side", [7, 8, 16, 31])
def test_it_is_the_maximum_of_rolls(side):
    """Straight in the words of the paper, on a map: both directions, K^i - 1 steps, closed to rings."""
    maps, base = torch.randn(1, 16, side, side), 2
    layout = inputs([(side, side)])[1]
    x = maps[0].flatten(1).t()
    source, target = LogRingGraph()(x, layout, x, layout)
    got = torch.full_like(x, -torch.inf).scatter_reduce(0, target[:, None].expand(-1, 16), x[source], "amax")
    want, step = maps, 1
    while step < side:
        for shift in (step, -step):
            want = torch.maximum(want, torch.maximum(maps.roll(shift, 2), maps.roll(shift, 3)))
        step = (step + 1) * base - 1
    assert torch.equal(got, want[0].flatten(1).t())


def test_the_base_matters_and_is_a_part_of_the_text():
    given = inputs([(16, 16)])
    edges = [LogRingGraph(base=base)(*given) for base in (2, 3)]
    assert edges[0].shape != edges[1].shape
    assert repr(LogRingGraph(base=3)) == "LogRingGraph(base=3)"
    model = GreedyViG("small", graph="log_rings", num_classes=3)
    assert model.graphers()[0].graph.base == 2


def test_mistakes():
    with pytest.raises(ValueError, match="base must be at least 2, got 1"):
        LogRingGraph(base=1)
    with pytest.raises(ValueError, match="point set"):
        LogRingGraph()(*free())


@pytest.mark.parametrize("edge_attr", ["rank", "distance", "offset", "unit_offset"])
def test_edge_attributes(edge_attr):
    given = inputs([(4, 4), (4, 4)])
    edges, attr = LogRingGraph(edge_attr=edge_attr)(*given)
    assert len(attr) == edges.size(1)
    assert assert_builder(LogRingGraph(edge_attr=edge_attr), *given) == edges.size(1)
