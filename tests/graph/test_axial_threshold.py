import random

import pytest
import torch

from tests.graph.brute import BATCHES, free, inputs, neighbors
from vig_pyg import GreedyViG
from vig_pyg.data import BatchLayout
from vig_pyg.graph import AxialGraph, ThresholdAxialGraph
from vig_pyg.testing import assert_builder


def limit(x, height, width):
    """The threshold of one image, by loops over its patches."""
    cells = x.view(height, width, -1)
    ways = [
        (cells[r, c] - cells[(r - -(-height // 2)) % height, (c - -(-width // 2)) % width]).abs().sum()
        for r in range(height)
        for c in range(width)
    ]
    return torch.stack(ways).mean() - torch.stack(ways).std() if len(ways) > 1 else torch.zeros(())


@pytest.mark.parametrize("sizes", [*BATCHES, [(7, 7)], [(8, 5), (8, 5)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_candidates_below_the_threshold_of_their_image(sizes, ratio, stride):
    given = inputs(sizes, ratio)
    x, layout, x_src, layout_src = given
    candidates = neighbors(AxialGraph(stride=stride, wrap=True)(*given), layout.num_nodes)
    want, node, first = [], 0, 0
    for (height, width), (rows, columns) in zip(layout.grid_sizes, layout_src.grid_sizes, strict=True):
        most = limit(x[node : node + height * width], height, width)
        for i in range(height * width):
            home = first + i // width // ratio * columns + i % width // ratio
            here = x[node + i]
            want.append([j for j in candidates[node + i] if j == home or (x_src[j] - here).abs().sum() < most])
        node, first = node + height * width, first + rows * columns
    builder = ThresholdAxialGraph(stride=stride)
    assert neighbors(builder(*given), layout.num_nodes) == want
    assert assert_builder(builder, *given) == sum(map(len, want))


def test_some_candidates_are_left_out_and_some_are_not():
    given = inputs([(14, 14)])
    edges, most = ThresholdAxialGraph(stride=2)(*given), AxialGraph(stride=2, wrap=True)(*given)
    assert given[1].num_nodes < edges.size(1) < most.size(1)


def test_equal_patches_have_no_neighbors_because_the_bound_is_strict():
    layout = BatchLayout.from_sizes([(4, 4)])
    x = torch.ones(16, 8)
    assert ThresholdAxialGraph(stride=1)(x, layout, x, layout).tolist() == [list(range(16))] * 2


def test_no_gradient_reaches_the_threshold():
    x, layout, _, _ = inputs([(4, 4)])
    x.requires_grad_()
    assert not ThresholdAxialGraph()(x, layout, x, layout).requires_grad


def test_what_it_cannot_take_is_refused():
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        ThresholdAxialGraph(stride=0)
    with pytest.raises(ValueError, match="needs nodes on a grid"):
        ThresholdAxialGraph()(*free())


@pytest.mark.parametrize("seed", range(30))
def test_distances_of_shifted_maps_are_those_of_single_pairs(seed):
    """Sources that are another tensor take the general way, one neighbor after the other."""
    choose = random.Random(seed)
    size = choose.randint(1, 17), choose.randint(1, 17)
    sizes = [size] * 2 if seed % 2 else [size, (choose.randint(1, 9), choose.randint(1, 9))]
    dtype = choose.choice([torch.float64, torch.float32, torch.bfloat16])
    layout = BatchLayout.from_sizes(sizes)
    x, builder = torch.randn(layout.num_nodes, 5).to(dtype), ThresholdAxialGraph(stride=choose.randint(1, 9))
    assert torch.equal(builder(x, layout, x, layout), builder(x, layout, x.clone(), layout))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_of_half_precision_are_not_rounded_to_it(dtype):
    layout = BatchLayout.from_sizes([(8, 8)])
    x = torch.randn(64, 500).to(dtype)
    builder = ThresholdAxialGraph(stride=1)
    wide = x.float()
    assert torch.equal(builder(x, layout, x, layout), builder(wide, layout, wide, layout))


def test_a_network_gives_its_shapes_on_the_meta_device():
    with torch.device("meta"):
        model = GreedyViG("small", num_classes=3).eval()
        assert model(torch.empty(2, 3, 64, 96)).shape == (2, 3)
        assert model.forward_intermediates(torch.empty(1, 3, 64, 96))[-1].shape[2:] == (2, 3)
