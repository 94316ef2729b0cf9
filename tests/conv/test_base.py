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


def of_both_ends(base):
    class DoubledBoth(base):
        def message(self, x_i, x_j):
            return 2 * super().message(x_i, x_j)

    return DoubledBoth


def of_sources(base):
    class DoubledSources(base):
        def message(self, x_j):
            return 2 * super().message(x_j)

    return DoubledSources


@pytest.mark.parametrize("name", CONVS)
def test_a_subclass_with_messages_of_its_own_gets_them(name):
    base = CONVS[name]
    conv = (of_both_ends if name in ("mr", "edge") else of_sources)(base)(16, 32).eval()
    plain = base(16, 32).eval()
    plain.load_state_dict(conv.state_dict())
    assert plain.fuses() and not conv.fuses()
    x, edge_index = torch.randn(6, 16), torch.tensor([[1, 2, 3, 4, 5], [0, 0, 1, 2, 2]])
    assert not torch.allclose(conv(x, edge_index), plain(x, edge_index))


@pytest.mark.parametrize("name", CONVS)
def test_a_subclass_that_changes_no_message_stays_fast(name):
    class Silent(CONVS[name]):
        """Changes nothing that matters."""

    assert Silent(16, 32).fuses()
