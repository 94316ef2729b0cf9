import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv

from vig_pyg import DilatedKNN, conv
from vig_pyg.block import Block, FunctionBuilder, Grapher
from vig_pyg.data import Layout, pool_nodes
from vig_pyg.layers import FFN
from vig_pyg.testing import assert_block_equivariance, assert_parameters_get_gradients

LAYOUT = Layout.from_sizes([(4, 4), (4, 6), (4, 4)])


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
        images = [set(part.tolist()) for part in same.split(list(LAYOUT.counts))]
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
    with pytest.raises(ValueError, match="Got 10 nodes and a layout of 56: it belongs to other images"):
        make().grapher(nodes()[:10], LAYOUT)
