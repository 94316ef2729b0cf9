import math
from itertools import product

import pytest
import torch

from tests.graph.brute import BATCHES, free, inputs, neighbors
from vig_pyg import PyramidViG
from vig_pyg.data import BatchLayout
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


@pytest.mark.parametrize("seed", range(30))
def test_the_equation_of_the_docstring(seed):
    """With as many neighbors as a window has patches, all j with W(j) = W(i) are neighbors, whatever the options."""
    torch.manual_seed(seed)
    draw = [int(n) for n in torch.randint(1, 12, (2, 2)).flatten()]
    sizes = [(draw[0], draw[1]), (draw[2], draw[3])]
    window, stride = (int(n) for n in torch.randint(1, 5, (2,)))
    shift = int(torch.randint(0, window, ()))
    x, layout, _, _ = inputs(sizes)
    builder = WindowGraph(window**2, window=window, shift=shift, stride=stride)

    def place(i, cell, size):
        sides = [-(-(side - at % stride) // stride) for at, side in zip(cell, size, strict=True)]
        begin = shift if min(sides) > window else 0  # only a grid that is larger than a window is shifted
        return i, *(at % stride for at in cell), *((at // stride - begin) // window for at in cell)

    places = [place(i, cell, size) for i, size in enumerate(sizes) for cell in product(*map(range, size))]
    found = neighbors(builder(x, layout, x, layout), layout.num_nodes)
    for i, sources in enumerate(found):
        assert sorted(sources) == [j for j, there in enumerate(places) if there == places[i]]


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


@pytest.mark.parametrize("sizes", [[(14, 14), (14, 14)], [(9, 13), (5, 5), (16, 16)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize(("window", "shift"), [(4, 2), (6, 4), (8, 2)])
@pytest.mark.parametrize(("most", "adaptive"), [(9, False), (9, True), (2, True)])
def test_shifted_windows_begin_at_the_shift(sizes, ratio, window, shift, most, adaptive):
    """By a loop over patches: the window of a cell after the shift, and a share of the neighbors at the border."""
    x, layout, x_src, layout_src = inputs(sizes, ratio)
    builder = WindowGraph(most, window=window, shift=shift, adaptive=adaptive)
    found = neighbors(builder(x, layout, x_src, layout_src), layout.num_nodes)
    unit = torch.nn.functional.normalize
    distance = torch.cdist(unit(x), unit(x_src))

    def places(part, scale):
        rows = []
        for i, (height, width) in enumerate(part.grid_sizes):
            begin = shift // scale if min(layout.grid_sizes[i]) > window else 0
            side = window // scale
            rows += [(i, (r - begin) // side, (c - begin) // side) for r in range(height) for c in range(width)]
        return rows

    here, there = places(layout, 1), places(layout_src, ratio)
    for i, sources in enumerate(found):
        own = [j for j, cell in enumerate(there) if cell == here[i]]
        own.sort(key=lambda j, i=i: distance[i, j].item())
        patches = here.count(here[i])
        share = min(most, max(3, most * patches // window**2))
        k = share if adaptive and patches < window**2 else most
        assert sources == own[: min(k, len(own))]
    assert assert_builder(builder, x, layout, x_src, layout_src) == sum(map(len, found))


@pytest.mark.parametrize("shift", [-1, 4, 5])
def test_a_shift_is_shorter_than_a_window(shift):
    with pytest.raises(ValueError, match=f"shift must be from 0 to window - 1 = 3, got {shift}"):
        WindowGraph(3, window=4, shift=shift)


def test_a_shift_must_fit_the_pooling():
    with pytest.raises(ValueError, match="shift=1 must be a multiple of the pooling of the sources, 2"):
        WindowGraph(3, window=4, shift=1)(*inputs([(8, 8)], 2))


def test_positions_count_from_the_corner_of_the_window():
    x, layout, _, _ = inputs([(8, 8)])
    plain, codes = WindowGraph(3, window=4), WindowGraph(3, window=4, position="grid")
    assert not torch.equal(plain(x, layout, x, layout), codes(x, layout, x, layout))
    corner = torch.cat([torch.arange(4) + 8 * r for r in range(4)])
    one = BatchLayout.from_sizes([(4, 4)])
    want = DilatedKNN(3, position="grid")(x[corner], one, x[corner], one)
    edges = codes(x, layout, x, layout)
    inside = torch.isin(edges[1], corner)
    assert torch.equal(edges[:, inside][0], corner[want[0]])


def strided_cells(layout, window, stride, shift, ratio):
    """Image, grid of every `stride`-th cell, and window of each node of a batch."""

    def place(at, side):
        """The grid of a row, its place there, and the number of rows of that grid."""
        phase = at // ratio % stride
        rows = [row for row in range(side) if row // ratio % stride == phase]
        return phase, rows.index(at), len(rows)

    found = []
    for image, (height, width) in enumerate(layout.grid_sizes):
        for row, column in product(range(height), range(width)):
            (a, r, h), (b, c, w) = place(row, height), place(column, width)
            begin = shift if min(h, w) > window else 0
            found.append((image, a, b, (r - begin) // window, (c - begin) // window))
    return found


@pytest.mark.parametrize("sizes", [*BATCHES, [(9, 8), (8, 9)], [(12, 12), (12, 12)]])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 20])
@pytest.mark.parametrize("shift", [0, 2])
def test_dilated_windows_hold_every_other_patch(sizes, ratio, stride, shift):
    x, layout, x_src, layout_src = inputs(sizes, ratio)
    builder = WindowGraph(3, window=4, stride=stride, shift=shift)
    found = neighbors(builder(x, layout, x_src, layout_src), layout.num_nodes)
    here = strided_cells(layout, 4, stride, shift, ratio)
    there = {}
    for node, cell in zip(range(layout.num_nodes), here, strict=True):
        image, row, column = int(layout.batch[node]), *layout.pos[node].long().tolist()
        width = layout_src.grid_sizes[image][1]
        source = sum(layout_src.num_nodes_per_graph[:image]) + row // ratio * width + column // ratio
        there.setdefault(cell, set()).add(source)
    unit = torch.nn.functional.normalize
    distance = torch.cdist(unit(x), unit(x_src))
    for i, sources in enumerate(found):
        own = sorted(there[here[i]], key=lambda j, i=i: distance[i, j].item())
        assert sources == own[:3]
    assert assert_builder(builder, x, layout, x_src, layout_src) == sum(map(len, found))


def test_dilated_windows_by_name_and_mistakes():
    model = PyramidViG("micro", graph="window_dilated", num_classes=4)
    assert (
        assert_batch_independence(model.double(), [torch.rand(3, 64, 64).double(), torch.rand(3, 40, 24).double()]) >= 0
    )
    assert (model.graphers()[0].graph.window, model.graphers()[0].graph.stride) == (8, 2)
    assert repr(WindowGraph(3, stride=2)) != repr(WindowGraph(3))
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        WindowGraph(3, stride=0)
