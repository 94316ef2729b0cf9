import pytest
import torch

from tests.graph.brute import BATCHES, free, inputs, neighbors
from vig_pyg.graph import CompleteGraph
from vig_pyg.testing import assert_block_equivariance, assert_builder


@pytest.mark.parametrize("sizes", BATCHES)
@pytest.mark.parametrize("ratio", [1, 2])
def test_all_sources_of_the_image_nearest_first(sizes, ratio):
    given = inputs(sizes, ratio)
    found = neighbors(CompleteGraph()(*given), given[1].num_nodes)
    for i, sources in enumerate(found):
        image = given[1].batch[i]
        own = (given[3].batch == image).nonzero().flatten().tolist()
        way = (given[3].pos - given[1].pos[i]).square().sum(1)
        assert sources == sorted(own, key=lambda j, way=way: (way[j].item(), j))
    assert assert_builder(CompleteGraph(), *given) == sum(map(len, found))


def test_free_points_too():
    x, layout, _, _ = free((3, 5))
    builder = CompleteGraph()
    edges = builder(x, layout, x, layout)
    assert edges[1].bincount().tolist() == [3] * 3 + [5] * 5
    assert torch.equal(edges[0, edges[0] == edges[1]], torch.arange(8))
    moved = free((3, 5))
    assert not torch.equal(builder(*moved), edges)  # nothing is kept of other points


def test_the_numbering_of_patches_means_nothing():
    x, layout, _, _ = free((4, 6))
    builder = CompleteGraph()

    def block(x, layout):
        source, target = builder(x, layout, x, layout)
        return torch.zeros_like(x).index_add_(0, target, x[source])

    assert assert_block_equivariance(block, x, layout) < 1e-5
