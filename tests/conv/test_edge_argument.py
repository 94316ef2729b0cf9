import inspect

import pytest
import torch
import torch_geometric.nn
from torch import nn

from vig_pyg.conv import CONVS
from vig_pyg.conv.edge_argument import edge_argument, edge_values

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
    with pytest.raises(ValueError, match=r"Both takes one weight for each edge \(edge_weight\), got attributes \("):
        edge_values(torch.rand(shape), Both(), "edge_weight")
    assert edge_values(torch.rand(shape), Both(), "edge_attr")["edge_attr"].shape == shape
