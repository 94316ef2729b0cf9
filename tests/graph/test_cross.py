import pytest

from tests.graph.brute import BATCHES, inputs, neighbors
from vig_pyg.graph import CrossGraph
from vig_pyg.testing import assert_builder


@pytest.mark.parametrize("sizes", [*BATCHES, [(8, 5)], [(2, 9)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("hop", [1, 2, 4, 8])
def test_four_neighbors_on_rings(sizes, ratio, hop):
    given = inputs(sizes, ratio)
    _, layout, _, layout_src = given
    want, first = [], 0
    for (height, width), (rows, columns) in zip(layout.grid_sizes, layout_src.grid_sizes, strict=True):
        for r in range(height):
            for c in range(width):
                home = r // ratio, c // ratio
                cells = {home}
                cells |= {((home[0] + step) % rows, home[1]) for step in (-hop, hop) if hop < rows}
                cells |= {(home[0], (home[1] + step) % columns) for step in (-hop, hop) if hop < columns}
                want.append({first + y * columns + x for y, x in cells})
        first += rows * columns
    got = neighbors(CrossGraph(hop=hop)(*given), layout.num_nodes)
    assert [set(one) for one in got] == want and all(len(one) == len(set(one)) for one in got)
    assert assert_builder(CrossGraph(hop=hop), *given) == sum(map(len, want))


@pytest.mark.parametrize("hop", [0, -1])
def test_bad_hop_is_refused(hop):
    with pytest.raises(ValueError, match=f"hop must be at least 1, got {hop}"):
        CrossGraph(hop=hop)
