from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, Sequential

from vig_pyg import PyramidViG, ViG, register_conv, register_graph
from vig_pyg._own_parts import new_builder, new_operator
from vig_pyg.conv import CONVS, MaxRelativeConv
from vig_pyg.graph import GRAPHS, DilatedKNN, Lookahead, Reuse


def named(part):
    return getattr(part, "__name__", "")


FAMILIES = [ViG, PyramidViG]
IMAGES = torch.rand(2, 3, 32, 32)


class Fine(nn.Module):
    """The targets alone, through a linear layer."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x, edge_index):
        return self.linear(x[1] if isinstance(x, tuple) else x)


class OneWidth(Fine):
    def __init__(self, channels):
        super().__init__(channels, channels)


class ThreeWidths(Fine):
    def __init__(self, in_channels, out_channels, hidden):
        super().__init__(in_channels, hidden + out_channels)


class NoSuper(nn.Module):
    def __init__(self, in_channels, out_channels):
        pass

    def forward(self, x, edge_index):
        return x


class LayerBeforeSuper(nn.Module):
    def __init__(self, in_channels, out_channels):
        self.linear = nn.Linear(in_channels, out_channels)


class NoForward(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()


class NoEdges(Fine):
    def forward(self, x):
        return self.linear(x)


class TooMany(Fine):
    def forward(self, x, edge_index, size, more):
        return self.linear(x)


class KeywordOnly(Fine):
    def forward(self, x, *, edge_index):
        return self.linear(x)


class Inside(Fine):
    def forward(self, x, edge_index):
        return len(5)


class Missing(Fine):
    def forward(self, x, edge_index):
        return self.nothing(edge_index)


class OwnMessage(MaxRelativeConv):
    def message(self, x_i, x_j):
        raise TypeError("of a message")


def no_module(in_channels, out_channels):
    return lambda x, edge_index: x


def nothing(in_channels, out_channels):
    pass


#: Operators, and whether their creation fails, with words of the message.
OPERATORS = [
    (OneWidth, True, ["takes 2 positional arguments but 3", "(in_channels, out_channels) -> Module"]),
    (ThreeWidths, True, ["missing 1 required positional argument: 'hidden'", "in_channels="]),
    (NoSuper, True, ["super().__init__()"]),
    (LayerBeforeSuper, True, ["before Module.__init__()", "(in_channels, out_channels) -> Module"]),
    (NoForward, True, ["no forward", "define forward(x, edge_index)"]),
    (NoEdges, True, ["with (x, edge_index), but its forward takes (x)", "return (nodes, "]),
    (TooMany, True, ["its forward takes (x, edge_index, size, more)", "Accept (x, edge_index)"]),
    (KeywordOnly, True, ["its forward takes (x, *, edge_index)"]),
    (nn.Linear, True, ["its forward takes (input"]),
    (no_module, True, ["returned function", "expected a Module"]),
    (nothing, True, ["returned NoneType", "expected a Module"]),
    (Inside, False, ["object of type 'int' has no len()", "edge_index (2, ", "must return ("]),
    (Missing, False, ["no attribute 'nothing'", "edge_index (2, "]),
    (OwnMessage, False, ["of a message"]),
]


def failure(family, option, factory, created):
    """The error of the creation or of the first pass."""
    if created:
        with pytest.raises((TypeError, AttributeError)) as caught:
            family("micro", **{option: factory})
    else:
        model = family("micro", **{option: factory}, num_classes=3)
        with pytest.raises((TypeError, AttributeError)) as caught:
            model(IMAGES)
    return caught.value


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("factory", "created", "words"), OPERATORS, ids=named)
def test_an_operator_that_does_not_fit_is_named(family, factory, created, words):
    error = failure(family, "conv", factory, created)
    text = str(error)
    assert text.startswith(f"The operator {factory.__qualname__} ") and text.endswith(".")
    channels = 64 if family is ViG else 32
    if factory is not NoSuper:
        assert f"a Grapher of {channels} channels (k=9, dilation=1, reduce_ratio=" in text
    assert all(word in text for word in words), text
    if isinstance(error.__cause__, Exception):
        assert str(error.__cause__) in text and isinstance(error.__cause__, type(error))


class Loops(nn.Module):
    def __init__(self, k, dilation):
        super().__init__()

    def forward(self, x, layout, x_src, layout_src):
        return torch.arange(len(x)).repeat(2, 1)


class TwoArguments(Loops):
    def forward(self, x, layout):
        return torch.arange(len(x)).repeat(2, 1)


class NoArguments(Loops):
    def __init__(self):
        super().__init__(1, 1)


class NoSuperLoops(Loops):
    def __init__(self, k, dilation):
        pass


class NoForwardGraph(nn.Module):
    def __init__(self, k, dilation):
        super().__init__()


class InsideGraph(Loops):
    def forward(self, x, layout, x_src, layout_src):
        return x + "text"


def other_names(neighbors):
    return Loops(neighbors, 1)


def no_builder(k, dilation):
    return None


def plain(k, dilation):
    return lambda x: x


def fails_late(k, dilation):
    return lambda x, layout, x_src, layout_src: layout.nothing


GRAPH_FACTORIES = [
    (NoArguments, True, ["takes 1 positional argument but 3", "(k, dilation) -> builder"]),
    (other_names, True, ["takes 1 positional argument but 2", "(k=9, dilation=1)"]),
    (NoSuperLoops, True, ["super().__init__()"]),
    (NoForwardGraph, True, ["define forward(x, layout, x_src, layout_src)"]),
    (TwoArguments, True, ["its forward takes (x, layout)", "return edge_index (2, E) of int64"]),
    (plain, True, ["it takes (x)", "Accept (x, layout, x_src, layout_src)"]),
    (no_builder, True, ["is None", "return a callable"]),
    (InsideGraph, False, ["unsupported operand", "must return edge_index (2, E) of int64"]),
    (fails_late, False, ["has no attribute 'nothing'", "x_src ("]),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("wrap", [lambda factory: factory, lambda factory: Reuse(factory, every=2), Lookahead])
@pytest.mark.parametrize(("factory", "created", "words"), GRAPH_FACTORIES, ids=named)
def test_a_graph_that_does_not_fit_is_named(family, wrap, factory, created, words):
    error = failure(family, "graph", wrap(factory), created)
    text = str(error)
    assert factory.__name__ in text and all(word in text for word in words), text
    if factory is not NoSuperLoops:
        assert "a Grapher of" in text
    if not created:
        assert error.__cause__ is not None and str(error.__cause__) in text


def test_a_registered_part_has_its_registered_name():
    try:
        register_conv("my_ops:Own")(OneWidth)
        register_graph("my_ring")(other_names)
        with pytest.raises(TypeError, match=r"^The operator my_ops:Own failed when a Grapher"):
            ViG("micro", conv="my_ops:Own")
        with pytest.raises(TypeError, match=r"^The graph my_ring failed when a Grapher"):
            ViG("micro", graph="my_ring")
    finally:
        CONVS.remove("my_ops:Own")
        GRAPHS.remove("my_ring")


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, IndexError, ZeroDivisionError])
def test_other_errors_are_unchanged(error):
    thrown = error("mine")

    class Broken(Fine):
        def forward(self, x, edge_index):
            raise thrown

    def fail(*_):
        raise thrown

    for call in (
        lambda: ViG("micro", conv=Broken, num_classes=3)(IMAGES),
        lambda: ViG("micro", conv=fail),
        lambda: ViG("micro", graph=fail),
        lambda: ViG("micro", graph=lambda k, dilation: fail)(IMAGES),
    ):
        with pytest.raises(error) as caught:
            call()
        assert caught.value is thrown


def sequence(in_channels, out_channels):
    return Sequential("x, edge_index", [(GCNConv(in_channels, out_channels), "x, edge_index -> x")])


class Everything(Fine):
    def forward(self, *args, **kwargs):
        return super().forward(*args)


def scripted(in_channels, out_channels):
    class Plain(Fine):
        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    return torch.jit.trace(Plain(in_channels, out_channels), (torch.rand(4, in_channels), torch.zeros(2, 3).long()))


class Weighted(Fine):
    def forward(self, x, edge_index, edge_attr):
        return super().forward(x, edge_index) + edge_attr.sum()


def test_an_operator_that_needs_edge_attr_without_a_graph_that_has_them_is_named():
    graph = partial(DilatedKNN, edge_attr="rank")
    assert ViG("micro", conv=Weighted, graph=graph, num_classes=3).eval()(IMAGES).shape == (2, 3)
    model = ViG("micro", conv=Weighted, num_classes=3)
    with pytest.raises(TypeError, match=r"^The operator Weighted failed in a Grapher .*missing .* 'edge_attr'"):
        model(IMAGES)


FITTING = [Fine, partial(Fine), lambda a, b: Fine(a, b), Everything, sequence, partial(GCNConv, bias=False), scripted]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("factory", FITTING)
def test_operators_that_fit_are_accepted(factory):
    assert ViG("micro", conv=factory, num_classes=3).eval()(IMAGES).shape == (2, 3)


@pytest.mark.parametrize(
    "factory",
    [
        Loops,
        lambda k, dilation: Loops(k, dilation).forward,
        lambda k, dilation: lambda *nodes: torch.arange(len(nodes[0])).repeat(2, 1),
        lambda *_: DilatedKNN(3),
        partial(DilatedKNN, epsilon=0.1),
    ],
)
def test_graphs_that_fit_are_accepted(factory):
    assert ViG("micro", graph=factory, num_classes=3).eval()(IMAGES).shape == (2, 3)


def test_creation_by_hand():
    assert isinstance(new_operator(Fine, 4, 8, "here"), Fine) and isinstance(new_builder(Loops, 3, 1, "here"), Loops)
    with pytest.raises(TypeError, match=r"^The builder of the graph plain is called by here"):
        new_builder(plain, 3, 1, "here")


class CallIsIts(nn.Module):
    """Its forward is never called."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def __call__(self, x, edge_index):
        return self.linear(x[1] if isinstance(x, tuple) else x)


def prepared(in_channels, out_channels):
    """A hook drops the edges before the layer is called."""
    layer = nn.Linear(in_channels, out_channels)
    layer.register_forward_pre_hook(lambda _, given: (given[0][1] if isinstance(given[0], tuple) else given[0],))
    return layer


@pytest.mark.parametrize("conv", [CallIsIts, prepared])
@pytest.mark.parametrize("family", FAMILIES)
def test_parts_whose_forward_gets_other_arguments_are_accepted(family, conv):
    assert family("micro", conv=conv, num_classes=3).eval()(IMAGES).shape == (2, 3)
