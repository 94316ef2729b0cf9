import copy
import gc
import pickle
import weakref
from functools import partial
from itertools import pairwise

import pytest
import torch

from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.graph import RandomGraph, Reuse
from vig_pyg.testing import assert_batch_independence, assert_parameters_get_gradients


def edges(model, images):
    return [graph.edge_index for graph in model.graphs(images)]


def same(one, two):
    return one.shape == two.shape and torch.equal(one, two)


@pytest.fixture
def model():
    """Six Graphers that build two by two."""
    torch.manual_seed(0)
    return ViG("micro", depth=5, k=4, graph=Reuse(DilatedKNN, every=2), num_classes=3).eval()


def test_every_nth_builds_and_the_others_reuse(model):
    first, second, third, fourth, fifth = edges(model, torch.rand(2, 3, 32, 32))
    assert same(first, second) and same(third, fourth)
    assert not same(second, third) and not same(fourth, fifth)


def test_the_edges_of_those_who_build_are_right(model):
    images = torch.rand(2, 3, 32, 32)
    found = []
    for grapher in model.graphers():
        grapher.graph.register_forward_hook(lambda builder, given, out: found.append((builder, given, out)))
    with torch.no_grad():
        model(images)
    assert [builder.builds for builder, _, _ in found] == [True, False, True, False, True]
    for builder, given, out in found[::2]:
        assert torch.equal(DilatedKNN(4, builder.builder.dilation)(*given), out)
    assert found[1][2] is found[0][2]


def test_a_pass_never_sees_edges_of_another(model):
    one, two = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    alone = edges(model, two)
    edges(model, one)
    assert all(map(same, edges(model, two), alone))
    smaller = edges(model, one[:1])
    assert all(map(same, edges(copy.deepcopy(model), one[:1]), smaller))


@pytest.mark.parametrize("mode", [True, False])
def test_training_and_evaluation_in_turn(model, mode):
    images = torch.rand(4, 3, 32, 32)
    want = edges(model, images)
    model.train()(images.flip(0)).sum().backward()
    with torch.inference_mode():
        model.train(mode)(images.flip(0))
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)):
        norm.reset_running_stats()
    assert all(map(same, edges(model.eval(), images), want))
    assert assert_parameters_get_gradients(model, images) > 0


def test_a_batch_of_patches_used_twice_makes_two_passes(model):
    patches = model.embed(torch.rand(2, 3, 32, 32))
    first = edges(model, patches)
    patches.x = torch.randn_like(patches.x)
    assert not same(edges(model, patches)[1], first[1])


def test_the_blocks_by_hand_on_one_layout_are_two_passes(model):
    from vig_pyg.data import BatchLayout

    layout = BatchLayout.from_sizes([(8, 8)])
    one, two = torch.randn(64, 64), torch.randn(64, 64)

    def run(x, layout):
        for block in model.blocks:
            x = block(x, layout)
        return x

    with torch.no_grad():
        want = run(two, BatchLayout.from_sizes([(8, 8)]))
        run(one, layout)
        assert torch.equal(run(two, layout), want)


def test_nothing_is_kept_after_a_pass(model):
    found = []
    handle = model.graphers()[0].graph.register_forward_hook(lambda _, given, out: found.append(weakref.ref(out)))
    with torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    handle.remove()
    gc.collect()
    assert found[0]() is None


def test_a_new_grid_is_built_anew():
    model = PyramidViG("micro", k=3, graph=Reuse(partial(DilatedKNN, position="grid"), every=10)).eval()
    images = [torch.rand(3, 32, 32), torch.rand(3, 24, 40)]
    graphs = model.graphs(images)
    assert [g.builds for g in (m.graph for m in model.graphers())] == [True] + [False] * 4
    same_grid = [same(a.edge_index, b.edge_index) for a, b in pairwise(graphs)]
    assert same_grid == [False, False, True, False]  # two blocks lie in stage 3 alone
    assert assert_batch_independence(model, images) < 1e-5


def test_every_model_counts_from_its_first_grapher():
    reuse = Reuse(DilatedKNN, every=2)
    models = [ViG("micro", depth=3, graph=reuse) for _ in range(2)]
    assert [[g.graph.builds for g in m.graphers()] for m in models] == [[True, False, True]] * 2
    groups = [{id(g.graph.group) for g in m.graphers()} for m in models]
    assert not groups[0] & groups[1] and len(groups[0]) == 2


def test_copies_share_within_and_not_between(model):
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.fuse()):
        groups = [grapher.graph.group for grapher in other.graphers()]
        assert groups[0] is groups[1] and groups[1] is not groups[2] and groups[2] is groups[3]
        assert not {id(group) for group in groups} & {id(g.graph.group) for g in model.graphers()}
        first, second, third, *_ = edges(other, torch.rand(1, 3, 32, 32))
        assert same(first, second) and not same(second, third)


def test_recomputed_blocks_get_the_edges_of_their_pass():
    from torch.utils.checkpoint import checkpoint

    from vig_pyg.data import BatchLayout

    # a GPU sums in any order
    dtype = torch.float32 if torch.get_default_device().type == "cpu" else torch.float64
    model = ViG("micro", depth=4, graph=Reuse(DilatedKNN, every=2)).to(dtype)
    x, gradients = torch.randn(64, 64, dtype=dtype), []
    for recompute in (False, True):
        model.zero_grad()
        layout, y = BatchLayout.from_sizes([(8, 8)]), x.clone().requires_grad_()
        out = y
        for block in model.eval().blocks:
            out = checkpoint(block, out, layout, use_reentrant=False) if recompute else block(out, layout)
        out.square().sum().backward()
        gradients.append(y.grad)
    if x.is_cuda:  # there the sums of gradients have no fixed order, and some cancel each other
        gradients = [gradient / gradients[0].abs().max() for gradient in gradients]
    torch.testing.assert_close(*gradients)


def test_any_builder_can_be_reused():
    model = ViG("micro", graph=Reuse(lambda k, dilation: RandomGraph(k), every=4)).eval()
    found = edges(model, torch.rand(1, 3, 32, 32))
    assert all(same(found[0], other) for other in found[1:])


def test_one_means_that_all_build():
    model = ViG("micro", graph=Reuse(DilatedKNN, every=1))
    assert all(grapher.graph.builds for grapher in model.graphers())


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        Reuse(DilatedKNN, every=0)
    with pytest.raises(TypeError, match="a name or a callable"):
        Reuse(3, every=2)
    with pytest.raises(ValueError, match="Unknown graph 'kn'"):
        Reuse("kn", every=2)


def test_a_name_is_that_of_the_model():
    model = ViG("micro", graph=Reuse("knn", every=2), k=3)
    assert [grapher.graph.builds for grapher in model.graphers()] == [True, False, True, False]
    assert all(grapher.graph.builder.k == 3 for grapher in model.graphers())
    mixed = PyramidViG("micro", graph=["axial", "axial", Reuse("grid", every=2), "knn"])
    assert any(
        str(grapher.graph.builder) == "GridGraph()" for grapher in mixed.graphers() if hasattr(grapher.graph, "builder")
    )
