from functools import partial

import pytest
import torch
import torch_geometric
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.explain.algorithm.utils import set_masks
from torch_geometric.nn import SAGEConv

import vig_pyg
from vig_pyg import DilatedKNN, conv
from vig_pyg.block import Block, FunctionBuilder, Grapher
from vig_pyg.data import BatchLayout, pool_nodes
from vig_pyg.fuse import fuse
from vig_pyg.graph import Reuse, resolve_graph
from vig_pyg.graph.search import Search
from vig_pyg.layers import FFN
from vig_pyg.testing import assert_block_equivariance, assert_parameters_get_gradients

LAYOUT = BatchLayout.from_sizes([(4, 4), (4, 6), (4, 4)])


def make(operator=conv.MaxRelativeConv, **options):
    options = {"graph": DilatedKNN, "k": 3} | options
    return Block(Grapher(8, conv=operator, **options), FFN(8, 32)).double()


def nodes():
    return torch.randn(LAYOUT.num_nodes, 8, dtype=torch.float64)


@pytest.mark.parametrize("ratio", [1, 2])
def test_grapher_is_its_equation(ratio):
    grapher, x = make(reduce_ratio=ratio).grapher.eval(), nodes()
    y = grapher.fc1(x)
    y_src, small = pool_nodes(y, LAYOUT, ratio)
    edge_index = DilatedKNN(3)(y, LAYOUT, y_src, small)
    want = x + grapher.fc2(grapher.conv((y_src, y), edge_index))
    torch.testing.assert_close(grapher(x, LAYOUT), want, rtol=0, atol=1e-12)


def test_block_is_grapher_then_ffn():
    block, x = make().eval(), nodes()
    want = block.ffn(block.grapher(x, LAYOUT), LAYOUT.batch, LAYOUT.num_graphs)
    assert torch.equal(block(x, LAYOUT), want)


@pytest.mark.parametrize("name", conv.CONVS)
@pytest.mark.parametrize("position", [None, "grid"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_numbering_of_the_patches_means_nothing(name, position, dilation):
    def graph(k, dilation):
        return DilatedKNN(k, dilation, position=position)

    assert assert_block_equivariance(make(conv.CONVS[name], graph=graph, dilation=dilation), nodes(), LAYOUT) < 1e-12


@pytest.mark.parametrize("name", conv.CONVS)
@pytest.mark.parametrize("ratio", [1, 2])
def test_every_parameter_gets_a_gradient(name, ratio):
    assert assert_parameters_get_gradients(make(conv.CONVS[name], reduce_ratio=ratio), nodes(), LAYOUT) > 0


def test_drop_path_leaves_images_as_they_are():
    grapher, x = make(drop_path=0.5).grapher.train(), nodes()
    dropped = set()
    for _ in range(8):
        same = (grapher(x, LAYOUT) == x).all(dim=1)
        images = [set(part.tolist()) for part in same.split(list(LAYOUT.num_nodes_per_graph))]
        assert all(len(image) == 1 for image in images)
        dropped.update(*images)
    assert dropped == {True, False}


def test_a_function_is_wrapped_so_that_hooks_see_it():
    def loops(x, layout, x_src, layout_src):
        return torch.arange(len(x)).expand(2, -1)

    grapher, seen = make(graph=lambda k, dilation: loops).grapher, []
    assert isinstance(grapher.graph, FunctionBuilder)
    grapher.graph.register_forward_hook(lambda module, inputs, edges: seen.append(edges))
    grapher(nodes(), LAYOUT)
    assert torch.equal(seen[0], torch.arange(LAYOUT.num_nodes).expand(2, -1))


class Pair(nn.Module):
    def forward(self, x, edge_index):
        return x, x


@pytest.mark.parametrize(
    ("operator", "got"),
    [(lambda i, o: conv.GINConv(i, i), r"GINConv returned \(56, 8\)"), (lambda i, o: Pair(), "Pair returned tuple")],
)
def test_a_wrong_output_of_the_operator_is_refused(operator, got):
    with pytest.raises(ValueError, match=rf"{got}, expected \(56, 16\): an operator made by conv\(8, 16\) must return"):
        make(operator)(nodes(), LAYOUT)


def test_grapher_says_what_it_is():
    assert "k=3, dilation=2, reduce_ratio=1" in repr(make(dilation=2))


FAULTS = {
    "float": (lambda n: torch.zeros(2, n), TypeError, "float32"),
    "beyond": (lambda n: torch.full((2, n), n), IndexError, "from 56 to 56"),
    "negative": (lambda n: torch.full((2, n), -1), IndexError, "from -1 to -1"),
    "nothing": (lambda n: None, TypeError, "NoneType"),
    "transposed": (lambda n: torch.zeros(n, 2, dtype=torch.long), ValueError, "transpose"),
}


@pytest.mark.parametrize("operator", [*conv.CONVS.values(), lambda i, o: SAGEConv(i, o)])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("training", [False, True])
def test_bad_edges_of_a_builder_of_ones_own_are_refused(operator, fault, training):
    make_edges, error, words = FAULTS[fault]

    def faulty(x, layout, x_src, layout_src):
        return make_edges(len(x))

    grapher = make(operator, graph=lambda k, dilation: faulty).grapher.train(training)
    with pytest.raises(error, match=rf"The graph builder .*faulty's edge_index .*{words}"):
        grapher(nodes(), LAYOUT)


@pytest.mark.parametrize("operator", conv.CONVS.values())
def test_the_order_of_edges_of_a_builder_means_nothing(operator):
    def shuffled(x, layout, x_src, layout_src):
        edges = DilatedKNN(3)(x, layout, x_src, layout_src)
        return edges[:, torch.randperm(edges.size(1))]

    one, x = make(operator).grapher.eval(), nodes()
    two = make(operator, graph=lambda k, dilation: shuffled).grapher.eval()
    two.load_state_dict(one.state_dict())
    torch.testing.assert_close(two(x, LAYOUT), one(x, LAYOUT))


def test_a_layout_of_other_images_is_refused():
    with pytest.raises(ValueError, match="Got 10 nodes, but a layout of 56 nodes: pass the layout of these images"):
        make().grapher(nodes()[:10], LAYOUT)


GRID = BatchLayout.from_sizes([(4, 4)] * 3)


@pytest.fixture
def no_edges(monkeypatch):
    """As on a GPU: Max-Relative over nearest neighbors in one operator. Returns how often it was."""
    calls, operator = [], Search.max_relative
    monkeypatch.setattr(vig_pyg.block, "prefers_no_edges", lambda *_: True)
    monkeypatch.setattr(Search, "max_relative", lambda self: calls.append(1) or operator(self))
    return calls


def grapher_and_nodes(channels=16, **options):
    options = {"graph": DilatedKNN, "k": 3, "conv": conv.MaxRelativeConv} | options
    grapher = Grapher(channels, **options)
    return grapher, torch.randn(GRID.num_nodes, channels, requires_grad=True)


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("position", [None, "grid", "official"])
@pytest.mark.parametrize("training", [False, True])
def test_without_edges_nothing_changes(no_edges, ratio, dilation, position, training, monkeypatch):
    grapher, x = grapher_and_nodes(
        reduce_ratio=ratio, dilation=dilation, graph=lambda k, d: DilatedKNN(k, d, position=position)
    )
    grapher.train(training)
    found = []
    for fused in (True, False):
        monkeypatch.setattr(vig_pyg.block, "prefers_no_edges", lambda *_, fused=fused: fused)
        grapher.zero_grad()
        out = grapher(x, GRID)
        grads = torch.autograd.grad(out.square().sum(), [x, *grapher.parameters()])
        found.append((out, *grads))
    assert len(no_edges) == 1
    assert torch.equal(found[0][0], found[1][0])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5 * (1 + float(two.detach().abs().max())))


def test_a_fused_copy_needs_no_edges_either(no_edges):
    grapher, x = grapher_and_nodes()
    fused = fuse(grapher)
    with torch.no_grad():
        torch.testing.assert_close(fused(x, GRID), grapher.eval()(x, GRID), rtol=1e-5, atol=1e-5)
    assert len(no_edges) == 2


class MyConv(conv.MaxRelativeConv):
    def message(self, x_i, x_j):
        return x_i - x_j


class MyGraph(DilatedKNN):
    def forward(self, *args):
        return super().forward(*args)


def hook(*_):
    return None


def explained(grapher):
    set_masks(grapher.conv, torch.ones(3 * GRID.num_nodes), torch.zeros(2, 3 * GRID.num_nodes, dtype=torch.long))


#: What must be seen, computed or drawn with edges.
ONLOOKERS = {
    "a hook on the graph": lambda g: g.graph.register_forward_hook(hook),
    "a hook before the graph": lambda g: g.graph.register_forward_pre_hook(hook),
    "a hook on the operator": lambda g: g.conv.register_forward_hook(hook),
    "a hook before the operator": lambda g: g.conv.register_forward_pre_hook(hook),
    "a hook on its gradients": lambda g: g.conv.register_full_backward_hook(hook),
    "a hook on messages": lambda g: g.conv.register_message_forward_hook(hook),
    "a hook on propagation": lambda g: g.conv.register_propagate_forward_pre_hook(hook),
    "an explainer": explained,
    "no fused aggregation": lambda g: setattr(g.conv, "fuse", False),
    "messages of the instance": lambda g: setattr(g.conv, "message", g.conv.message),
    "edges of the instance": lambda g: setattr(g.graph, "forward", g.graph.forward),
    "another operator": lambda g: setattr(g, "conv", conv.GINConv(16, 32)),
    "an operator of one's own": lambda g: setattr(g, "conv", MyConv(16, 32)),
    "a graph of one's own": lambda g: setattr(g, "graph", MyGraph(3)),
    "kept edges": lambda g: setattr(g, "graph", Reuse(DilatedKNN, every=2)(3, 1)),
    "a function": lambda g: setattr(g, "graph", FunctionBuilder(DilatedKNN(3))),
    "another engine": lambda g: setattr(g, "graph", DilatedKNN(3, engine="torch_cluster")),
    "drawn neighbors": lambda g: setattr(g, "graph", DilatedKNN(3, stochastic=True, epsilon=1.0)),
}


@pytest.mark.parametrize("onlooker", ONLOOKERS)
def test_who_looks_at_edges_gets_them(no_edges, onlooker):
    if onlooker == "another engine":
        pytest.importorskip("torch_cluster")
    grapher, x = grapher_and_nodes()
    ONLOOKERS[onlooker](grapher)
    grapher(x, GRID)
    assert not no_edges


def test_a_hook_on_all_modules_sees_graph_and_operator(no_edges):
    grapher, x = grapher_and_nodes()
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        grapher(x, GRID)
    finally:
        handle.remove()
    assert grapher.graph in seen and not no_edges
    grapher(x, GRID)
    assert no_edges


def test_images_of_several_sizes_have_edges(no_edges):
    grapher, _ = grapher_and_nodes()
    grapher(torch.randn(LAYOUT.num_nodes, 16), LAYOUT)
    assert not no_edges


def test_the_graphs_of_a_model_are_collected_as_ever(no_edges):
    model, images = vig_pyg.vig_micro().eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        model(images)
    assert len(no_edges) == len(model.graphers())
    graphs = model.graphs(images)
    assert len(no_edges) == len(model.graphers()) == len(graphs)


def test_a_cpu_keeps_its_edges():
    grapher, x = grapher_and_nodes()
    seen, build = [], grapher.graph._search
    grapher.graph._search = lambda *args: seen.append(1) or build(*args)
    grapher(x, GRID)
    assert seen


class Issued(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", conv.CONVS)
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.filterwarnings("ignore:The usage of `scatter")
def test_a_gpu_is_not_waited_for(name, ratio, training, monkeypatch):
    """Fake tensors of a GPU raise where a number is read; and nothing is sorted, searched or asserted."""
    monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", False)  # it knows no fake tensors
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        layout = BatchLayout.from_sizes([(4, 6)] * 2)
        grapher = Grapher(16, conv=conv.CONVS[name], graph=DilatedKNN, k=3, reduce_ratio=ratio).train(training)
        x = torch.empty(layout.num_nodes, 16, requires_grad=True)
        with Issued() as issued:
            grapher(x, layout)
    waits = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::searchsorted", "aten::sort"}
    waits |= {"aten::_assert_async", "aten::argsort", "aten::bincount", "aten::aminmax"}
    assert not waits & set(issued.names)
    searches = [n for n in issued.names if n.startswith("vig_pyg::") and "::norm_" not in n]
    of_edges = ["vig_pyg::knn"] + ["vig_pyg::max_relative"] * (name == "mr_reversed")
    assert searches == (["vig_pyg::knn_max_relative"] if name == "mr" else of_edges)


@pytest.mark.filterwarnings("ignore")
def test_a_compiler_follows_without_edges(no_edges):
    grapher, x = grapher_and_nodes()
    grapher.eval()
    seen = []

    def backend(graph, inputs):
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph

    with torch.no_grad():
        compiled = torch.compile(grapher, fullgraph=True, backend=backend)(x, GRID)
        assert torch.equal(compiled, grapher(x, GRID))
    assert [name for name in seen if "vig_pyg" in name] == ["vig_pyg.knn_max_relative"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", conv.CONVS)
@pytest.mark.parametrize("graph", ["knn", "positions", "window", "axial", "grid"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_training_on_a_gpu_waits_for_nothing(name, graph, ratio):
    make = resolve_graph("knn" if graph == "positions" else graph)
    if graph == "positions":
        make = partial(DilatedKNN, position="grid")
    device = torch.device("cuda")
    layout = BatchLayout.from_sizes([(8, 8)] * 2, device)
    grapher = Grapher(32, conv=conv.CONVS[name], graph=make, k=3, reduce_ratio=ratio).to(device)
    x = torch.randn(layout.num_nodes, 32, device=device, requires_grad=True)
    grapher(x, layout).sum().backward()  # codes and edges of places are made once
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        grapher(x, layout).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
