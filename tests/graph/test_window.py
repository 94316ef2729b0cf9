import math

import pytest
import torch

from tests.graph.brute import BATCHES, free, inputs, neighbors
from vig_pyg import PyramidViG
from vig_pyg.graph import DilatedKNN, WindowGraph, shrink
from vig_pyg.testing import assert_batch_independence, assert_builder


def cells(layout, window):
    """Image and window (row, column) of each node."""
    columns = torch.cat([torch.arange(h * w) % w for h, w in layout.grid_sizes])
    rows = torch.cat([torch.arange(h * w) // w for h, w in layout.grid_sizes])
    return list(zip(layout.batch.tolist(), (rows // window).tolist(), (columns // window).tolist(), strict=True))


@pytest.mark.parametrize("sizes", [*BATCHES, [(8, 8), (8, 8)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize(("k", "dilation"), [(3, 1), (2, 3), (9, 1)])
@pytest.mark.parametrize("window", [2, 4, 40])
def test_nearest_of_the_window(sizes, ratio, k, dilation, window):
    x, layout, x_src, layout_src = inputs(sizes, ratio)
    builder = WindowGraph(k, dilation, window=window)
    found = neighbors(builder(x, layout, x_src, layout_src), layout.num_nodes)
    here, there = cells(layout, window), cells(layout_src, window // ratio)
    unit = torch.nn.functional.normalize
    distance = torch.cdist(unit(x), unit(x_src))
    for i, sources in enumerate(found):
        own = [j for j, cell in enumerate(there) if cell == here[i]]
        own.sort(key=lambda j, i=i: distance[i, j].item())
        used, spacing = shrink(k, dilation, len(own))
        assert sources == own[: used * spacing : spacing]
    assert assert_builder(builder, x, layout, x_src, layout_src) == sum(map(len, found))


def test_a_window_of_the_whole_image_is_the_plain_search():
    x, layout, _, _ = inputs([(5, 5), (4, 6)])
    plain = DilatedKNN(4, 2)(x, layout, x, layout)
    assert torch.equal(WindowGraph(4, 2, window=6)(x, layout, x, layout), plain)


def test_a_pyramid_takes_windows():
    model = PyramidViG("micro", graph="window", num_classes=4)
    assert assert_batch_independence(model, [torch.rand(3, 32, 32), torch.rand(3, 40, 24)]) < 1e-5
    assert model.graphers()[0].graph.window == 8


@pytest.mark.parametrize(
    ("window", "ratio", "message"), [(0, 1, "window must be at least 1, got 0"), (2, 4, "pooling")]
)
def test_bad_windows_are_refused(window, ratio, message):
    with pytest.raises(ValueError, match=message):
        WindowGraph(3, window=window)(*inputs([(8, 8)], ratio))


def test_free_points_are_refused():
    with pytest.raises(ValueError, match="Windows need nodes on a grid"):
        WindowGraph(3)(*free())


def test_a_feature_that_is_not_finite_is_named_by_its_image():
    x, layout, _, _ = inputs([(4, 4)] * 3)
    x[37, 2] = math.nan
    with pytest.raises(ValueError, match=r"node 37 \(image 2 of the batch\) is not finite"):
        WindowGraph(3, window=2)(x, layout, x, layout)


def test_search_has_no_gradient():
    x, layout, _, _ = inputs([(4, 4)])
    assert not WindowGraph(3, window=2)(x.requires_grad_(), layout, x, layout).requires_grad
