import copy
import pickle
from itertools import pairwise

import pytest
import torch

from vig_pyg import DilatedKNN, PyramidViG, ViG, VisionGNN
from vig_pyg.data import BatchLayout
from vig_pyg.graph import Lookahead, Reuse, WindowGraph, resolve_graph, split_edges
from vig_pyg.graph.lookahead import LookaheadGraph
from vig_pyg.graph.resolver import is_own
from vig_pyg.testing import assert_batch_independence, assert_builder, assert_parameters_get_gradients


def recorded(model, images):
    """The input and the output of each builder in one pass."""
    found = []
    hooks = [
        grapher.graph.register_forward_hook(lambda builder, given, out: found.append((builder, given, out)))
        for grapher in model.graphers()
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("inner", ["knn", "window", "axial_threshold", DilatedKNN])
def test_each_layer_has_the_graph_of_the_layer_before(family, inner):
    torch.manual_seed(0)
    model = family("micro", graph=Lookahead(inner), num_classes=3, k=(3, 7)).eval()
    for images in (torch.rand(2, 3, 32, 32), [torch.rand(3, 32, 48), torch.rand(3, 40, 32)]):
        passed = recorded(model, images)
        before = None
        for builder, (x, layout, x_src, layout_src), out in passed:
            owner, nodes, nodes_src = before[:3] if before and before[3] is layout else (builder, x, x_src)
            want = owner.builder(nodes, layout, nodes_src, layout_src)
            assert torch.equal(out, want)
            before = builder, x, x_src, layout
        assert len({id(one[1][1]) for one in passed}) == (1 if family is ViG else 4)


def test_it_changes_the_result_and_reads_the_options_of_the_search():
    torch.manual_seed(0)
    plain = PyramidViG("micro", num_classes=3, position="grid", depths=(2, 2, 2, 2)).eval()
    ahead = PyramidViG("micro", num_classes=3, position="grid", depths=(2, 2, 2, 2), graph="lookahead").eval()
    ahead.load_state_dict(plain.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(plain(images), ahead(images))
    assert ahead.graphers()[0].graph.builder.position.mode == "grid"
    with pytest.raises(ValueError, match="position='grid' is an option of DilatedKNN"):
        PyramidViG("micro", graph=Lookahead("axial"), position="grid")


def test_blocks_by_hand_on_one_layout_are_two_passes():
    model = ViG("micro", graph="lookahead").eval()
    layout = BatchLayout.from_sizes([(8, 8)])
    x = torch.randn(64, 64)

    def run():
        y = x
        for block in model.blocks:
            y = block(y, layout)
        return y

    with torch.no_grad():
        assert torch.equal(run(), run())


def test_images_do_not_mix_and_gradients_flow():
    model = PyramidViG("micro", depths=(2, 2, 2, 2), graph="lookahead", num_classes=3).double()
    images = [torch.rand(3, 32, 32).double(), torch.rand(3, 40, 24).double(), torch.rand(3, 32, 32).double()]
    assert_batch_independence(model, images)
    assert assert_parameters_get_gradients(model, torch.rand(2, 3, 32, 32).double()) > 0


@pytest.mark.parametrize("edge_attr", [(), ("distance",)])
def test_checkpointing_changes_no_gradient(edge_attr):
    from torch_geometric.nn import GATv2Conv

    def conv(i, o):
        return GATv2Conv(i, o, edge_dim=1) if edge_attr else GATv2Conv(i, o)

    graph = Lookahead(lambda k, d: DilatedKNN(k, d, edge_attr=edge_attr))
    torch.manual_seed(0)
    model = ViG("micro", graph=graph, conv=conv, num_classes=3).double()
    images, found = torch.rand(2, 3, 32, 32).double(), []
    for checkpointing in (False, True):
        one = copy.deepcopy(model)
        one.set_grad_checkpointing(checkpointing)
        one.train()(images).square().sum().backward()
        found.append([parameter.grad for parameter in one.parameters()])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_builder_alone_keeps_the_contract():
    x, layout = torch.randn(32, 8, dtype=torch.float64), BatchLayout.from_sizes([(4, 4), (4, 4)])
    builder = Lookahead("knn")(5, 1)
    assert assert_builder(builder, x, layout) == 160
    assert is_own(builder) and not is_own(Lookahead(lambda k, d: print)(3, 1))
    with_attr = Lookahead(lambda k, d: DilatedKNN(k, d, edge_attr="distance"))(3, 1)
    assert split_edges(with_attr(x, layout, x, layout))[1].shape == (96, 1) and with_attr.edge_attr == ("distance",)


def test_copies_and_files(tmp_path):
    model = ViG("micro", graph="lookahead", num_classes=3).eval()
    images = torch.rand(2, 3, 32, 32)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(images), model(images))
        chain = [grapher.graph for grapher in again.graphers()]
        assert all(two._before[0] is one.builder for one, two in pairwise(chain))
    model.save_pretrained(tmp_path)
    again = VisionGNN.from_pretrained(tmp_path, map_location=torch.get_default_device())
    assert torch.equal(again(images), model(images))
    assert "lookahead" not in str(list(model.state_dict()))


def test_names_factories_and_mistakes():
    assert type(resolve_graph("lookahead")(3, 1)) is LookaheadGraph
    assert isinstance(resolve_graph(Lookahead("window"))(3, 1).builder, WindowGraph)
    assert repr(Lookahead("window")) == "Lookahead('window')"
    inner = resolve_graph(Lookahead(Reuse(DilatedKNN, every=2)))
    assert [inner(3, 1).builder.builds for _ in range(3)] == [True, False, True]
    with pytest.raises(ValueError, match="Unknown graph 'windo'"):
        Lookahead("windo")
    with pytest.raises(TypeError, match="Lookahead needs a name or a callable"):
        Lookahead(3)
