from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.data import BatchLayout, pool_nodes
from vig_pyg.graph import EDGE_ATTRS, AxialGraph, CompleteGraph, GridGraph, LogGraph, RandomGraph, Reuse, WindowGraph
from vig_pyg.graph.edge_attr import checked_edge_attr, with_edge_attr
from vig_pyg.testing import assert_builder

ALL = tuple(EDGE_ATTRS)
BUILDERS = {
    "knn": lambda **options: DilatedKNN(3, 2, **options),
    "cluster": lambda **options: DilatedKNN(3, 2, engine="torch_cluster", **options),
    "window": lambda **options: WindowGraph(3, window=4, **options),
    "axial": lambda **options: AxialGraph(**options),
    "log": lambda **options: LogGraph(**options),
    "grid": lambda **options: GridGraph(**options),
    "complete": lambda **options: CompleteGraph(**options),
    "random": lambda **options: RandomGraph(3, **options),
    "reuse": lambda **options: Reuse(lambda k, dilation: DilatedKNN(k, dilation, **options), every=2)(3, 1),
}
SIZES = {"one grid": [(4, 5), (4, 5)], "ragged": [(4, 5), (3, 6), (4, 4)]}


def nodes(sizes, ratio):
    layout = BatchLayout.from_sizes(sizes)
    x = torch.randn(layout.num_nodes, 6, dtype=torch.float64)
    return (x, layout, *((x, layout) if ratio == 1 else pool_nodes(x, layout, ratio)))


def by_hand(edge_index, x, layout, x_src, layout_src):
    """All attributes, an edge at a time."""
    rows, seen = [], {}
    for source, target in edge_index.t().tolist():
        rank = seen[target] = seen.get(target, -1) + 1
        height, width = layout.grid_sizes[int(layout.batch[target])]
        down, right = (layout_src.pos[source] - layout.pos[target]).tolist()
        apart = float((F.normalize(x[target], dim=0) - F.normalize(x_src[source], dim=0)).square().sum()) ** 0.5
        rows.append([rank, apart, down, right, 0.5 + down / (2 * height), 0.5 + right / (2 * width)])
    return torch.tensor(rows, dtype=x.dtype)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("ratio", [1, 2])
def test_attributes_are_those_counted_by_hand(name, sizes, ratio):
    given = nodes(SIZES[sizes], ratio)
    torch.manual_seed(0)
    edges, attr = BUILDERS[name](edge_attr=ALL)(*given)
    torch.testing.assert_close(attr, by_hand(edges, *given), rtol=0, atol=1e-7)
    assert attr[:, -2:].min() >= 0 and attr[:, -2:].max() <= 1
    torch.manual_seed(0)
    assert torch.equal(BUILDERS[name]()(*given), edges)  # without the option the same edges alone
    torch.manual_seed(0)
    one = BUILDERS[name](edge_attr="distance")(*given)[1]
    assert torch.equal(one, attr[:, 1:2])


@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in ("random", "reuse")])
@pytest.mark.parametrize("ratio", [1, 2])
def test_the_contract_of_builders_holds_for_attributes(name, ratio):
    x, layout, x_src, layout_src = nodes(SIZES["ragged"], ratio)
    assert assert_builder(BUILDERS[name](edge_attr=ALL), x, layout, x_src, layout_src) > 0


def test_ranks_and_distances_rise_together_in_a_search_without_positions():
    x, layout, *_ = nodes(SIZES["one grid"], 1)
    _, attr = DilatedKNN(9, edge_attr=("rank", "distance"))(x, layout, x, layout)
    rank, distance = attr.view(layout.num_nodes, 9, 2).unbind(2)
    assert torch.equal(rank, torch.arange(9).expand(layout.num_nodes, 9).to(rank)) and (distance.diff(dim=1) >= 0).all()
    assert distance[:, 0].abs().max() < 1e-7  # each patch is its own nearest


def test_distances_have_finite_gradients_also_of_a_patch_to_itself():
    x, layout, *_ = nodes(SIZES["one grid"], 1)
    x.requires_grad_()
    _, attr = DilatedKNN(4, edge_attr="distance")(x, layout, x, layout)
    (gradient,) = torch.autograd.grad(attr.sum(), x)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    _, attr = DilatedKNN(4, edge_attr=("rank", "offset"))(x, layout, x, layout)
    assert not attr.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_attributes_have_the_type_of_the_features(dtype):
    x, layout, *_ = nodes(SIZES["one grid"], 1)
    x = x.to(dtype)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        edges, attr = DilatedKNN(3, edge_attr=ALL)(x, layout, x, layout)
    assert attr.dtype == dtype and edges.dtype == torch.long
    torch.testing.assert_close(attr.double(), by_hand(edges, x.double(), layout, x.double(), layout), rtol=0, atol=0.02)


def test_a_set_of_points_has_offsets_but_no_shares_of_a_grid():
    pos = torch.rand(5, 2)
    layout = BatchLayout(pos, torch.zeros(5).long(), torch.tensor([0, 5]), (5,), None)
    x, edges = torch.rand(5, 6), torch.tensor([[3, 1], [0, 2]])
    assert torch.equal(with_edge_attr(edges, ["offset"], x, layout, x, layout)[1], pos[edges[0]] - pos[edges[1]])
    with pytest.raises(ValueError, match="unit_offset is relative to the grid"):
        with_edge_attr(edges, ["unit_offset"], x, layout, x, layout)


@pytest.mark.parametrize("names", ["ranks", ("rank", "angle"), ("rank", "rank"), [""]])
def test_unknown_names_are_refused_by_every_builder(names):
    for name in BUILDERS:
        with pytest.raises(
            ValueError, match="edge_attr must be one or more different names out of rank, distance, offset"
        ):
            BUILDERS[name](edge_attr=names)
    assert checked_edge_attr(()) == ()


def test_the_option_is_in_the_text_of_a_builder():
    assert "edge_attr=('rank',)" in repr(DilatedKNN(3, edge_attr="rank")) and "edge_attr" not in repr(DilatedKNN(3))


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_graphs_of_a_model_have_the_attributes(family):
    from torch_geometric.nn import GATv2Conv

    graph = partial(DilatedKNN, edge_attr=("rank", "offset"))
    model = calibrated(family("micro", conv=lambda i, o: GATv2Conv(i, o, edge_dim=3), graph=graph))
    for graph in model.graphs([torch.rand(3, 32, 32), torch.rand(3, 40, 32)]):
        for one in graph.to_data_list():
            offset = one.pos_src[one.edge_index[0]] - one.pos[one.edge_index[1]]
            assert torch.equal(one.edge_attr[:, 1:], offset) and one.edge_attr[:, 0].min() == 0


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "cluster"])
def test_shapes_on_the_meta_device_are_those_on_the_cpu(name, sizes, ratio):
    """Alone, with autocast switched on around it, and in the context of the device."""
    builder = BUILDERS[name](edge_attr=ALL)
    want = builder(*nodes(sizes, ratio))
    for context in (torch.device("cpu"), torch.device("meta"), torch.autocast("cpu", torch.bfloat16)):
        layout = BatchLayout.from_sizes(sizes, device="meta")
        x = torch.empty(layout.num_nodes, 6, dtype=torch.float64, device="meta")
        x_src, layout_src = (x, layout) if ratio == 1 else pool_nodes(x, layout, ratio)
        with context:
            found = BUILDERS[name](edge_attr=ALL)(x, layout, x_src, layout_src)
        assert [part.shape for part in found] == [part.shape for part in want]
        assert [part.dtype for part in found] == [part.dtype for part in want]
        assert all(part.device.type == "meta" for part in found)
