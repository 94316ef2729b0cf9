import copy
import inspect
import re

import pytest
import torch
import torch_geometric.nn
import torch_geometric.nn as pyg
from torch import nn

from vig_pyg import DilatedKNN
from vig_pyg.block import Grapher
from vig_pyg.conv import CONVS
from vig_pyg.conv.edge_argument import apply_with_edge_attr, edge_argument, edge_values
from vig_pyg.data import BatchLayout

OPERATORS = {name: getattr(torch_geometric.nn.conv, name) for name in torch_geometric.nn.conv.__all__}


@pytest.mark.parametrize("name", [name for name in OPERATORS if isinstance(OPERATORS[name], type)])
def test_the_argument_is_one_of_the_signature(name):
    """For each operator of PyG, without making one."""
    operator = OPERATORS[name].__new__(OPERATORS[name])
    nn.Module.__init__(operator)
    parameters = inspect.signature(OPERATORS[name].forward).parameters
    found, names = edge_argument(operator), list(parameters)
    takes_all = any(part.kind is part.VAR_KEYWORD for part in parameters.values())
    assert found in (*names, None) or (found == "edge_attr" and takes_all)
    assert found == "edge_attr" or "edge_attr" not in names
    assert found is not None or "edge_weight" not in names


@pytest.mark.parametrize("name", CONVS)
def test_our_operators_take_none(name):
    conv = CONVS[name](8, 16)
    assert edge_argument(conv) is None
    with pytest.raises(ValueError, match=f"{type(conv).__name__}.forward has no argument edge_attr or edge_weight"):
        edge_values(torch.rand(5, 1), conv, None)


class Both(nn.Module):
    def forward(self, x, edge_index, edge_weight=None, edge_attr=None):
        return x


class Anything(nn.Module):
    def forward(self, *args, **kwargs):
        return args[0]


def test_attributes_come_before_weights_and_go_to_whoever_takes_everything():
    assert edge_argument(Both()) == edge_argument(Anything()) == "edge_attr"


@pytest.mark.parametrize("shape", [(5,), (5, 1), (0,), (0, 1), (0, 3)])
def test_weights_are_a_vector(shape):
    found = edge_values(torch.rand(shape), Both(), "edge_weight")
    assert found["edge_weight"].shape == (shape[0],)


@pytest.mark.parametrize("shape", [(5, 2), (1, 3), (5, 1, 2)])
def test_more_than_one_column_is_no_weight(shape):
    with pytest.raises(ValueError, match=r"Both accepts one weight per edge \(edge_weight\), got attributes \("):
        edge_values(torch.rand(shape), Both(), "edge_weight")
    assert edge_values(torch.rand(shape), Both(), "edge_attr")["edge_attr"].shape == shape


def linear(i, o):
    return nn.Sequential(nn.Linear(i, o))


def pna(i, o, **options):
    return pyg.PNAConv(i, o, ["mean", "max"], ["identity"], torch.tensor([0, 0, 0, 5]), **options)


#: Every operator of PyG with `edge_attr`, made for D attributes, or for none (D is `None`) if it can be.
WITH_ATTR = {
    "CGConv": lambda i, o, d: pyg.CGConv(i, dim=d or 0),
    "GATConv": lambda i, o, d: pyg.GATConv(i, o, edge_dim=d),
    "GATv2Conv": lambda i, o, d: pyg.GATv2Conv(i, o, edge_dim=d),
    "GENConv": lambda i, o, d: pyg.GENConv(i, o, edge_dim=d),
    "GENConv with bias": lambda i, o, d: pyg.GENConv(i, o, edge_dim=d, bias=True),
    "GINEConv": lambda i, o, d: pyg.GINEConv(linear(i, o), edge_dim=d),
    "GMMConv": lambda i, o, d: pyg.GMMConv(i, o, dim=d, kernel_size=2),
    "GeneralConv": lambda i, o, d: pyg.GeneralConv(i, o, in_edge_channels=d),
    "NNConv": lambda i, o, d: pyg.NNConv(i, o, linear(d, i * o)),
    "PDNConv": lambda i, o, d: pyg.PDNConv(i, o, edge_dim=d, hidden_channels=4),
    "PNAConv": lambda i, o, d: pna(i, o, edge_dim=d),
    "ResGatedGraphConv": lambda i, o, d: pyg.ResGatedGraphConv(i, o, edge_dim=d),
    "TransformerConv": lambda i, o, d: pyg.TransformerConv(i, o, edge_dim=d),
}
NEED_ATTR = {"GMMConv", "NNConv", "PDNConv"}
ONE_SET = {"PDNConv", "PNAConv"}
COLUMNS = {"rank": 1, "unit_offset": 2, ("distance", "offset"): 3}
LAYOUT = BatchLayout.from_sizes([(3, 3), (3, 4)])


def grapher_of(name, dim, attributes, ratio):
    """CGConv keeps the width, so it cannot be in a Grapher: its error comes before that is noticed."""
    make = WITH_ATTR[name]
    graph = lambda k, d: DilatedKNN(k, d, edge_attr=attributes)  # noqa: E731
    grapher = Grapher(8, conv=lambda i, o: make(i, o, dim), graph=graph, k=3, reduce_ratio=ratio).eval()
    return grapher.to(torch.get_default_device())  # some operators of PyG make parameters on the CPU


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("name", WITH_ATTR)
def test_attributes_of_another_number_are_refused_with_operator_and_both_numbers(name, ratio):
    """For every number that the operator is made for, and none, and every number that the builder returns."""
    if ratio > 1 and name in ONE_SET:
        pytest.skip("it takes one node set")
    x, kind, refused = torch.randn(LAYOUT.num_nodes, 8), name.split()[0], 0
    for dim in (None, 1, 2, 3):
        if dim is None and name in NEED_ATTR:
            continue
        for attributes, columns in COLUMNS.items():
            grapher = grapher_of(name, dim, attributes, ratio)
            state = copy.deepcopy(grapher.state_dict())
            if dim == columns and name != "CGConv":
                assert grapher(x, LAYOUT).shape == x.shape
                continue
            with pytest.raises(ValueError, match=f"{kind} (has|got|returned)") as caught:
                grapher(x, LAYOUT)
            if dim != columns:
                refused += 1
                said = str(caught.value)
                assert f"{columns} attributes per edge" in said and f"={columns}" in said
                takes = dim or ("8" if kind == "GINEConv" else "none")
                assert re.search(rf"has edge_dim={dim},|it expects (none or )?{takes} \(it failed", said), said
            assert all(torch.equal(state[key], value) for key, value in grapher.state_dict().items())
    assert refused >= 6


class Vector(nn.Module):
    """An operator of one's own that takes one number per edge, as a vector."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(8, 16)

    def forward(self, x, edge_index, edge_attr):
        return self.lin(x).index_add(0, edge_index[1], edge_attr.unsqueeze(1) * self.lin(x)[edge_index[0]])


class Forwarding(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x, edge_index, **values):
        return self.conv(x, edge_index, **values)


@pytest.mark.parametrize(
    ("conv", "takes"),
    [
        (Vector(), "a vector"),
        (Forwarding(pyg.GCNConv(8, 16)), "none"),
        (Forwarding(pyg.GENConv(8, 16, edge_dim=6)), "none or 6"),
        (pyg.GENConv(8, 16), "none"),
        (pyg.GINEConv(linear(8, 16)), "8"),
        (pyg.GENConv(8, 16, edge_dim=2), "none or 2"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else value,
)
def test_operators_of_all_kinds_are_tried(conv, takes):
    x, edges = torch.randn(5, 8), torch.tensor([[0, 1, 4], [1, 2, 3]])
    with pytest.raises(ValueError, match=f"got 3 attributes per edge from the graph builder, but it expects {takes} "):
        apply_with_edge_attr(conv, x, edges, torch.rand(3, 3), edge_argument(conv), 1)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, TypeError, AssertionError, IndexError, KeyError])
def test_failures_that_are_not_about_attributes_keep_their_type(error):
    class Broken(nn.Module):
        def forward(self, x, edge_index, edge_attr=None):
            raise error("out of paper")

    class InTraining(nn.Module):
        def forward(self, x, edge_index, edge_attr=None):
            if self.training:
                raise error("out of paper")
            return x

    x, edges = torch.randn(5, 8), torch.tensor([[0, 1, 4], [1, 2, 3]])
    for conv in (Broken(), InTraining()):
        with pytest.raises(error, match="out of paper"):
            apply_with_edge_attr(conv, x, edges, torch.rand(3, 3), "edge_attr", 1)
