import math

import pytest
import torch

from tests.common import calibrated
from vig_pyg import DilatedKNN, create_model
from vig_pyg.data import BatchLayout, to_nodes
from vig_pyg.graph import shrink
from vig_pyg.testing import assert_builder

ENGINES = ["dense", "torch_cluster"]


def circle(*degrees):
    """Points on the unit circle, one image in a row."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1), BatchLayout.from_sizes([(1, len(degrees))])


def neighbors(edges, num_targets):
    """The sources of each target, in their order."""
    return [edges[0, edges[1] == i].tolist() for i in range(num_targets)]


# five directions, drawn:      0     10     30      70        150 degrees
#                              a     b      c       d         e
FIVE = (0, 10, 30, 70, 150)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("k", "dilation", "drawn"),
    [
        (1, 1, ["a", "b", "c", "d", "e"]),
        (2, 1, ["ab", "ba", "cb", "dc", "ed"]),
        (3, 1, ["abc", "bac", "cba", "dcb", "edc"]),
        (2, 2, ["ac", "bc", "ca", "db", "ec"]),
        (5, 1, ["abcde", "bacde", "cbade", "dcbae", "edcba"]),
    ],
)
def test_edges_are_the_drawn_ones(engine, k, dilation, drawn):
    x, layout = circle(*FIVE)
    edges = DilatedKNN(k, dilation, engine=engine)(x, layout, x, layout)
    assert neighbors(edges, 5) == [["abcde".index(letter) for letter in letters] for letters in drawn]


@pytest.mark.parametrize("engine", ENGINES)
def test_edges_to_pooled_sources_are_the_drawn_ones(engine):
    x, layout = circle(0, 40, 80, 120)
    x_src, layout_src = circle(5, 90, 180)
    edges = DilatedKNN(2, engine=engine)(x, layout, x_src, layout_src)
    assert neighbors(edges, 4) == [[0, 1], [0, 1], [1, 0], [1, 2]]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_direction_of_a_feature_counts(engine):
    x, layout = circle(*FIVE)
    longer = x * torch.tensor([[5.0], [0.1], [3], [1], [100]])
    builder = DilatedKNN(3, engine=engine)
    assert torch.equal(builder(x, layout, x, layout), builder(longer, layout, longer, layout))


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
@pytest.mark.parametrize("sizes", [[(4, 4), (4, 4)], [(4, 4), (3, 5), (6, 6)], [(4, 6), (6, 4)]])
@pytest.mark.parametrize("position", [None, "official", "grid"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_contract(engine, sizes, position, ratio):
    x, layout = to_nodes([torch.randn(8, *size, dtype=torch.float64) for size in sizes])
    small = layout.pooled(ratio)
    x_src = x if ratio == 1 else torch.randn(small.num_nodes, 8, dtype=torch.float64)
    edges = assert_builder(DilatedKNN(2, 2, engine=engine, position=position), x, layout, x_src, small)
    assert edges == 2 * layout.num_nodes


@pytest.mark.parametrize("engine", ENGINES)
def test_every_patch_is_its_own_nearest(engine):
    x, layout = to_nodes(torch.randn(2, 8, 5, 5))
    edges = DilatedKNN(3, 2, engine=engine)(x, layout, x, layout)
    assert torch.equal(edges[0, ::3], edges[1, ::3])


@pytest.mark.parametrize("engine", ENGINES)
def test_nearest_comes_first(engine):
    x, layout = to_nodes(torch.randn(2, 8, 5, 5, dtype=torch.float64))
    source, target = DilatedKNN(6, engine=engine)(x, layout, x, layout)
    unit = torch.nn.functional.normalize(x)
    distance = (unit[source] - unit[target]).norm(dim=1).view(-1, 6)
    assert (distance.diff() >= -1e-9).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_equal_features_still_give_k_neighbors_with_no_gap_in_distance(engine):
    x, layout = to_nodes(torch.ones(2, 4, 3, 3))
    source, target = DilatedKNN(4, engine=engine)(x, layout, x, layout)
    assert target.bincount().tolist() == [4] * 18
    assert torch.equal(layout.batch[source], layout.batch[target])
    pairs = set(zip(source.tolist(), target.tolist(), strict=True))
    assert len(pairs) == source.numel()


@pytest.mark.parametrize(
    ("k", "dilation", "nodes", "want"),
    [
        (9, 1, 196, (9, 1)),
        (9, 4, 36, (9, 4)),
        (9, 4, 35, (9, 3)),
        (9, 4, 9, (9, 1)),
        (9, 4, 8, (8, 1)),
        (9, 4, 1, (1, 1)),
        (2, 10, 5, (2, 2)),
    ],
)
def test_shrink_rule(k, dilation, nodes, want):
    assert shrink(k, dilation, nodes) == want


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_each_image_of_a_ragged_batch_shrinks_for_itself(engine):
    sizes = [(1, 1), (2, 2), (2, 4), (5, 5)]
    x, layout = to_nodes([torch.randn(8, *size) for size in sizes])
    edges = DilatedKNN(4, 3, engine=engine)(x, layout, x, layout)
    degree = edges[1].bincount().split(list(layout.num_nodes_per_graph))
    assert [set(part.tolist()) for part in degree] == [{1}, {4}, {4}, {4}]


def test_stochastic_dilation_is_random_in_training_only():
    x, layout = to_nodes(torch.randn(2, 8, 6, 6))
    plain = DilatedKNN(4, 3)(x, layout, x, layout)
    builder = DilatedKNN(4, 3, stochastic=True, epsilon=1.0)
    assert torch.equal(builder.eval()(x, layout, x, layout), plain)
    first, second = (builder.train()(x, layout, x, layout) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("engine", ENGINES)
def test_stochastic_neighbors_are_k_of_the_nearest(engine):
    x, layout = to_nodes(torch.randn(1, 8, 6, 6))
    near = DilatedKNN(12, engine=engine)(x, layout, x, layout)[0].view(36, 12)
    got = DilatedKNN(4, 3, stochastic=True, epsilon=1.0, engine=engine)(x, layout, x, layout)[0].view(36, 4)
    for row in range(36):
        places = [near[row].tolist().index(source) for source in got[row].tolist()]
        assert places == sorted(set(places))


@pytest.mark.parametrize(("epsilon", "low", "high"), [(0.0, 0, 0), (0.2, 20, 65), (1.0, 195, 200)])
def test_epsilon_is_the_share_of_random_graphs(epsilon, low, high):
    x, layout = to_nodes(torch.randn(1, 8, 6, 6))
    plain = DilatedKNN(4, 3)(x, layout, x, layout)
    builder = DilatedKNN(4, 3, stochastic=True, epsilon=epsilon).train()
    changed = sum(not torch.equal(builder(x, layout, x, layout), plain) for _ in range(200))
    assert low <= changed <= high


def test_search_has_no_gradient():
    x, layout = to_nodes(torch.randn(1, 8, 4, 4, requires_grad=True))
    assert not DilatedKNN(3)(x, layout, x, layout).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_search_is_never_in_reduced_precision(dtype):
    x, layout = to_nodes(torch.randn(1, 16, 6, 6).to(dtype))
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        edges = DilatedKNN(5)(x, layout, x, layout)
    assert torch.equal(edges, DilatedKNN(5)(x.double(), layout, x.double(), layout))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_feature_that_is_not_finite_is_named(engine, bad):
    x, layout = to_nodes(torch.randn(3, 8, 4, 4))
    x[37, 2] = bad
    with pytest.raises(ValueError, match=r"node 37 \(image 2 of the batch\) is not finite: look for NaN"):
        DilatedKNN(3, engine=engine)(x, layout, x, layout)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k and dilation must be at least 1, got k=0"),
        ({"k": -3}, "got k=-3"),
        ({"k": 3, "dilation": 0}, "got k=3 and dilation=0"),
        ({"k": 3, "engine": "faiss"}, "Unknown knn_engine 'faiss': choose one of auto, dense, torch_cluster"),
        ({"k": 3, "knn_precision": "bf16"}, "Unknown knn_precision 'bf16': choose one of highest, high, medium"),
        ({"k": 3, "position": "learned"}, "Unknown position mode 'learned'"),
        ({"k": 3, "epsilon": 1.5}, "probability between 0 and 1, got 1.5"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DilatedKNN(**options)


def test_an_empty_graph_is_refused():
    batch, ptr = torch.zeros(0, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    layout = BatchLayout(torch.zeros(0, 2), batch, ptr, (0,), None)
    with pytest.raises(ValueError, match="Every image needs at least one node"):
        DilatedKNN(1)(torch.zeros(0, 4), layout, torch.zeros(0, 4), layout)


def searches(name, images, **options):
    """Each search of a model on images: its builder, what it was given, and its edges."""
    model, found = calibrated(create_model(name, **options), images.shape[2:]), []
    for grapher in model.graphers():
        grapher.graph.register_forward_hook(lambda builder, inputs, edges: found.append((builder, inputs, edges)))
    with torch.no_grad():
        model(images)
    return found


def distances(builder, x, layout, x_src, layout_src, source, target):
    """Biased squared distances of edges, in float64 from the same features, less the constant 2."""
    unit = torch.nn.functional.normalize
    a, b = unit(x.double())[target], unit(x_src.double())[source]
    product = (a * b).sum(1)
    if builder.position is not None:
        p, q, *_ = builder.position(layout, layout_src, x.size(1), torch.float64)
        product += (p[target % p.size(0)] * q[source % q.size(0)]).sum(1)
    return -2 * product


def different_sets(builder, inputs, edges):
    """Targets whose neighbor sets the two engines see differently, and the largest gap between the two."""
    options = {"position": builder.position.mode if builder.position else None, "engine": "torch_cluster"}
    other = DilatedKNN(builder.k, builder.dilation, **options)(*inputs)
    assert torch.equal(edges[1], other[1])
    k = int(edges[1].bincount()[0])
    sets = [found[0].view(-1, k).sort(dim=1).values for found in (edges, other)]
    gap = (distances(builder, *inputs, *edges) - distances(builder, *inputs, *other)).abs().max()
    return int((sets[0] != sets[1]).any(1).sum()), sets[0].size(0), gap.item()


MODELS = {
    "vig_micro": [(32, 32), (64, 40)],
    "vig_tiny": [(224, 224)],
    "pvig_micro": [(32, 32), (64, 40)],
    "pvig_tiny": [(224, 224), (160, 96)],
}


def compare_engines(name, picture):
    """Of all searches of a model, at several sizes and positions: sets that differ, all sets, the largest gap."""
    positions = [{}] if name.startswith("vig") else [{"position": mode} for mode in ("official", "grid", None)]
    results = [
        different_sets(*one)
        for size in MODELS[name]
        for position in positions
        for one in searches(name, picture(2, 3, *size), knn_engine="dense", **position)
    ]
    return sum(r[0] for r in results), sum(r[1] for r in results), max(r[2] for r in results)


@pytest.mark.parametrize("name", MODELS)
def test_engines_find_the_same_neighbors(name, capsys):
    differ, total, gap = compare_engines(name, torch.rand)
    with capsys.disabled():
        print(f"\n{name}: the engines differ in {differ} of {total} neighbor sets, at gaps up to {gap:.1e}")
    assert gap < 1e-6
    assert differ <= total / 500  # ties up to rounding: the two sum in different orders


@pytest.mark.parametrize("name", MODELS)
def test_engines_differ_by_rounding_where_all_patches_look_the_same(name):
    gap = compare_engines(name, torch.zeros)[2]
    assert gap < 5e-6  # squared distances, with position up to 4, in float32


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sizes", [[(3, 3)], [(3, 3), (3, 3)], [(2, 4), (3, 3)]])
@pytest.mark.parametrize("more", [-1, 1, 17])
def test_features_of_other_nodes_than_the_layout_s_are_refused(engine, sizes, more):
    layout = BatchLayout.from_sizes(sizes)
    x, other = torch.randn(layout.num_nodes, 8), torch.randn(layout.num_nodes + more, 8)
    for given, name in (((other, layout, other, layout), "targets"), ((x, layout, other, layout), "sources")):
        with pytest.raises(ValueError, match=rf"Got {name} \({len(other)}, 8\), but a layout of {len(x)} nodes"):
            DilatedKNN(3, engine=engine)(*given)
