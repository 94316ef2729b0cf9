import pytest
import torch

from tests.graph.brute import BATCHES, free, inputs, neighbors
from vig_pyg.graph import RandomGraph


@pytest.mark.parametrize("sizes", BATCHES)
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("k", [1, 5, 9])
def test_k_different_sources_of_the_image(sizes, ratio, k):
    x, layout, x_src, layout_src = inputs(sizes, ratio)
    edges = RandomGraph(k)(x, layout, x_src, layout_src)
    assert edges.dtype == torch.long and (edges[1].diff() >= 0).all()
    for i, sources in enumerate(neighbors(edges, layout.num_nodes)):
        image = int(layout.batch[i])
        assert len(sources) == len(set(sources)) == min(k, layout_src.num_nodes_per_graph[image])
        assert set(layout_src.batch[sources].tolist()) == {image}


def test_all_subsets_are_equally_likely():
    x, layout, _, _ = inputs([(1, 5)] * 2000)
    sources = RandomGraph(2)(x, layout, x, layout)[0].view(-1, 2) % 5
    sets = sources.sort(dim=1).values
    counts = (sets[:, 0] * 5 + sets[:, 1]).bincount(minlength=25)
    counts = counts[counts > 0]
    assert len(counts) == 10
    assert (counts - 1000).abs().max() < 150  # five standard deviations of a count


def test_the_seed_repeats_it_and_every_pass_differs():
    given = inputs([(5, 5), (3, 4)])
    builder = RandomGraph(4).eval()
    torch.manual_seed(1)
    first, second = builder(*given), builder(*given)
    torch.manual_seed(1)
    assert torch.equal(builder(*given), first)
    assert not torch.equal(first, second)


def test_free_points_too():
    assert RandomGraph(4)(*free((3, 5)))[1].bincount().tolist() == [3] * 3 + [4] * 5


def test_bad_k_and_an_empty_image_are_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        RandomGraph(0)
    x, layout, _, _ = free((0, 2))
    with pytest.raises(ValueError, match="Every image needs at least one node"):
        RandomGraph(1)(x, layout, x, layout)
