import pytest
import torch
from torch_geometric.nn import MessagePassing

from vig_pyg.conv import CONVS, MaxRelativeConv
from vig_pyg.conv.base import VisionConv


@pytest.mark.parametrize("name", CONVS)
def test_operators_are_message_passing(name):
    assert issubclass(CONVS[name], VisionConv) and issubclass(CONVS[name], MessagePassing)


def test_pair_is_the_same_set_twice_or_two_sets():
    conv = MaxRelativeConv(4, 8)
    x, y = torch.rand(3, 4), torch.rand(2, 4)
    assert all(part is x for part in conv.pair(x))
    assert conv.pair((y, x)) == (y, x)
