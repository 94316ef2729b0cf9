"""Each law must catch what breaks it."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import MessagePassing, SAGEConv, TransformerConv

from vig_pyg import DilatedKNN, PyramidViG, ViG, ViGConfig, testing
from vig_pyg.conv import CONVS
from vig_pyg.data import to_nodes
from vig_pyg.graph import Reuse

TARGET = torch.arange(12).repeat_interleave(3)
EDGES = torch.stack([(5 * TARGET + 7 * torch.arange(36)) % 12, TARGET])


class Broken(nn.Module):
    """A sum over neighbors with one fault."""

    def __init__(self, fault=None):
        super().__init__()
        self.fault = fault
        self.linear = nn.Linear(4, 8).double()
        self.dropout = nn.Dropout(0.5)
        if fault == "idle":
            self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x, edge_index):
        x_src, x_dst = (x, x) if isinstance(x, torch.Tensor) else x
        out = torch.zeros_like(x_dst).index_add(0, edge_index[1], x_src[edge_index[0]])
        if self.fault == "numbering":
            out = out + torch.arange(len(out)).unsqueeze(1)
        if self.fault == "order":
            out = out.index_add(0, edge_index[1], x_src[edge_index[0]] * torch.arange(len(edge_index[0])).unsqueeze(1))
        if self.fault == "pair" and not isinstance(x, torch.Tensor):
            out = out + 1
        if self.fault == "graphs":
            out = out - x_dst.mean(0)
        if self.fault == "nan":
            out = out / 0 * 0
        return self.dropout(self.linear(out))


LAWS = {
    "numbering": (testing.assert_permutation_equivariance, "Broken depends on the numbering of the nodes"),
    "order": (testing.assert_edge_order_invariance, "Broken depends on the order of the edges"),
    "pair": (testing.assert_bipartite_equals_plain, r"Broken gives another result for \(x, x\) than for x"),
    "graphs": (testing.assert_graph_independence, "Broken mixes the graphs of a batch"),
    "idle": (testing.assert_parameters_get_gradients, "Broken has parameters without a finite gradient: idle"),
    "nan": (testing.assert_edge_order_invariance, "the difference is nan, above 1e-12"),
}


@pytest.mark.parametrize("fault", LAWS)
def test_laws_hold_and_catch_their_fault(fault):
    law, message = LAWS[fault]
    x = torch.randn(12, 4, dtype=torch.float64)
    error = law(Broken(), x, EDGES)
    assert error > 0 if fault == "idle" else 0 <= error < 1e-12
    with pytest.raises(AssertionError, match=message):
        law(Broken(fault), x, EDGES)


@pytest.mark.parametrize("fault", LAWS)
def test_assert_operator_catches_every_fault(fault):
    def conv(in_channels, out_channels):
        assert (in_channels, out_channels) == (4, 8)
        return Broken(fault)

    testing.assert_operator(lambda i, o: Broken(), in_channels=4, out_channels=8, dtype=torch.float64)
    with pytest.raises(AssertionError, match="Broken"):
        testing.assert_operator(conv, in_channels=4, out_channels=8, dtype=torch.float64)


def test_assert_operator_catches_a_wrong_width():
    with pytest.raises(AssertionError, match=r"SAGEConv returned \(20, 33\), expected \(20, 32\)"):
        testing.assert_operator(lambda i, o: SAGEConv(i, o + 1))


@pytest.mark.parametrize("conv", [*CONVS.values(), TransformerConv])
def test_assert_operator_takes_an_operators_class(conv):
    assert 0 <= testing.assert_operator(conv) < 1e-5


def test_tolerance_can_be_chosen():
    x = torch.randn(12, 4, dtype=torch.float64)
    assert testing.assert_bipartite_equals_plain(Broken("pair"), x, EDGES, tolerance=10) > 0.01


def test_modules_come_back_in_their_mode():
    module = Broken().train()
    module.dropout.eval()
    testing.assert_edge_order_invariance(module, torch.randn(12, 4, dtype=torch.float64), EDGES)
    assert module.training and module.linear.training and not module.dropout.training


def test_gradients_are_not_left_behind():
    module = Broken()
    testing.assert_parameters_get_gradients(module, torch.randn(12, 4, dtype=torch.float64), EDGES)
    assert all(p.grad is None for p in module.parameters())


def test_random_numbers_go_on_as_if_nothing_had_been():
    before = torch.get_rng_state()
    testing.assert_operator(SAGEConv)
    testing.assert_every_field_matters(ViG, CONFIG, CHANGES, given=GIVEN)
    assert torch.equal(torch.get_rng_state(), before)


def test_block_equivariance_catches_a_block_that_counts():
    x, layout = to_nodes([torch.randn(4, 3, 3), torch.randn(4, 2, 5)])
    assert testing.assert_block_equivariance(lambda x, layout: x * 2, x, layout) == 0
    with pytest.raises(AssertionError, match="depends on the numbering of the patches"):
        testing.assert_block_equivariance(lambda x, layout: x.cumsum(0), x, layout)


def faulty_builder(fault):
    def build(x, layout, x_src, layout_src):
        edges = DilatedKNN(3)(x, layout, x_src, layout_src)
        if fault == "form":
            return edges.t()
        if fault == "type":
            return edges.float()
        if fault == "range":
            return edges + 100
        if fault == "sorted":
            return edges.flip(1)
        if fault == "joined":
            return torch.stack([edges[0].flip(0), edges[1]])
        return edges[:, : edges.size(1) // layout.num_graphs] if layout.num_graphs > 1 else edges

    return build


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("form", r"Expected edges \(2, E\) of int64, got \(54, 2\)"),
        ("type", r"Expected edges \(2, E\) of int64, got .*float32"),
        ("range", "refer to missing nodes"),
        ("sorted", "not sorted by target"),
        ("joined", "54 edges connect two images"),
        ("cut", "Image 1 has different edges alone than in the batch"),
    ],
)
def test_builder_law_catches_faults(fault, message):
    x, layout = to_nodes(torch.randn(2, 4, 3, 3))
    assert testing.assert_builder(DilatedKNN(3), x, layout) == 54
    with pytest.raises(AssertionError, match=message):
        testing.assert_builder(faulty_builder(fault), x, layout)


ONE_SET = {
    "linear": lambda self, x: self.linear(x),
    "size": lambda self, x: self.linear(x.new_ones(x.size(0), 4)),
    "index": lambda self, x: self.linear(x)[: x[torch.zeros(2, dtype=torch.long)].size(0)],
    "unpack": lambda self, x: self.linear(x[0] * x.sum()),
}


@pytest.mark.parametrize("body", ONE_SET.values(), ids=ONE_SET)
def test_an_operator_of_one_node_set_is_told_the_line_for_pairs(body):
    class OneSet(nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.linear = nn.Linear(4, out_channels)

        def forward(self, x, edge_index):
            return body(self, x)

    with pytest.raises(AssertionError, match=r"^OneSet fails on a pair \(sources, targets\)") as error:
        testing.assert_bipartite_equals_plain(OneSet(4, 8), torch.rand(3, 4), torch.zeros(2, 1, dtype=torch.long))
    assert "Begin its forward with  sources, targets = x if isinstance(x, tuple) else (x, x) ," in str(error.value)
    assert isinstance(error.value.__cause__, TypeError | AttributeError)


def test_assert_operator_tells_the_line_for_pairs():
    class Softmax(MessagePassing):
        def __init__(self, in_channels, out_channels):
            super().__init__(aggr="softmax")
            self.linear = nn.Linear(in_channels, out_channels)

        def forward(self, x, edge_index):
            return self.propagate(edge_index, x=self.linear(x))

    class Mended(Softmax):
        def forward(self, x, edge_index):
            sources, targets = x if isinstance(x, tuple) else (x, x)
            size = sources.size(0), targets.size(0)
            return self.propagate(edge_index, x=(self.linear(sources), self.linear(targets)), size=size)

    with pytest.raises(AssertionError, match="Softmax fails on a pair"):
        testing.assert_operator(Softmax)
    with pytest.raises(ValueError, match=r"If it is yours, begin its forward with  sources, targets = x if isinst"):
        PyramidViG("micro", conv=Softmax, num_classes=3)(torch.rand(1, 3, 32, 32))
    assert testing.assert_operator(Mended) < 1e-5
    assert PyramidViG("micro", conv=Mended, num_classes=3)(torch.rand(2, 3, 32, 32)).isfinite().all()


def diagonal(k, dilation):
    """The builder of a user that forgets that a batch has several images."""

    def build(x, layout, x_src, layout_src):
        index = torch.arange(layout.num_nodes)
        return torch.stack([(index + 9) % layout.num_nodes, index])

    return build


class Alone:
    def __init__(self, k, dilation):
        pass

    def __call__(self, x, layout, x_src, layout_src):
        return torch.arange(layout.num_nodes).repeat(2, 1)


@pytest.mark.parametrize(
    ("builder", "edges"),
    [
        (DilatedKNN, 225),
        (DilatedKNN(4), 300),
        (lambda k, dilation: DilatedKNN(k), 225),
        (Reuse(DilatedKNN, every=2), 225),
        (Alone, 75),
        (Alone(1, 1), 75),
        (Alone(1, 1).__call__, 75),
    ],
)
def test_a_builder_and_its_factory_are_checked_without_further_arguments(builder, edges):
    before = torch.get_rng_state()
    assert testing.assert_builder(builder) == edges
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("builder", [diagonal, diagonal(3, 1)])
def test_the_default_images_catch_edges_between_images(builder):
    with pytest.raises(AssertionError, match="27 edges connect two images"):
        testing.assert_builder(builder)


def test_nodes_without_their_layout_are_refused():
    with pytest.raises(ValueError, match="both x and layout"):
        testing.assert_builder(DilatedKNN, torch.rand(4, 8))


@pytest.mark.parametrize("ragged", [False, True])
def test_batch_independence_catches_batch_statistics(ragged):
    class Standardized(nn.Module):
        def forward(self, images):
            means = torch.stack([image.mean() for image in images])
            return (means - means.mean()).unsqueeze(1)

    images = [torch.rand(3, 8, 8 + i * ragged) for i in range(3)]
    with pytest.raises(AssertionError, match="Standardized mixes the images of a batch"):
        testing.assert_batch_independence(Standardized(), images if ragged else torch.stack(images))


CONFIG = ViGConfig(depth=5, channels=16, patch_size=8, num_classes=5, image_size=32, k=3, head_channels=64)
CHANGES = {
    "num_classes": 6,
    "in_channels": 1,
    "image_size": 48,
    "patch_size": 4,
    "k": 4,
    "dilation": False,
    "stochastic": True,
    "epsilon": 1.0,
    "knn_engine": "torch_cluster",
    "knn_precision": "high",
    "conv": "gin",
    "graph": lambda k, dilation: DilatedKNN(1),
    "heads": 2,
    "ffn_ratio": 2,
    "head_channels": 32,
    "drop_path_rate": 0.7,
    "dropout": 0.5,
    "depth": 4,
    "channels": 32,
}
GIVEN = {"epsilon": {"stochastic": True}, "stochastic": {"epsilon": 1.0}}


def test_a_dead_field_is_caught():
    def deaf(config):
        return ViG(config, dropout=0.0, dilation=True)

    with pytest.raises(AssertionError, match=r"Fields of ViGConfig that change nothing: dilation, dropout\."):
        testing.assert_every_field_matters(deaf, CONFIG, CHANGES, given=GIVEN)


def test_a_field_that_acts_only_beside_others_needs_them():
    with pytest.raises(AssertionError, match="change nothing: epsilon"):
        testing.assert_every_field_matters(ViG, CONFIG, CHANGES, given={"stochastic": {"epsilon": 1.0}})


def test_every_field_needs_a_change_that_is_one():
    missing = {name: value for name, value in CHANGES.items() if name != "heads"}
    with pytest.raises(AssertionError, match=r"Fields of ViGConfig without exactly one change: \['heads'\]"):
        testing.assert_every_field_matters(ViG, CONFIG, missing)
    with pytest.raises(AssertionError, match="num_classes is changed to its current value 5"):
        testing.assert_every_field_matters(ViG, CONFIG, CHANGES | {"num_classes": 5})


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_models_keep_the_laws_of_models(family, dtype):
    model = family("micro", num_classes=5).to(dtype)
    images = torch.rand(2, 3, 32, 32, dtype=dtype)
    assert testing.assert_parameters_get_gradients(model, images) > 0
    assert testing.assert_batch_independence(model, images) < 1e-5


def test_the_default_device_is_of_no_importance():
    conv, x = CONVS["mr"](8, 8), torch.randn(12, 8)
    with torch.device("meta"):
        assert testing.assert_parameters_get_gradients(conv, x, EDGES) > 0
        testing.assert_permutation_equivariance(conv.eval(), x, EDGES)
