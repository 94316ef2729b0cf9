import pytest
import torch
from torch_geometric.nn import SAGEConv

from vig_pyg import PyramidViG
from vig_pyg.conv import CONVS, MaxRelativeConv, list_convs, register_conv
from vig_pyg.testing import assert_parameters_get_gradients


@pytest.fixture
def registered():
    before = list_convs()
    yield
    for name in [name for name in list_convs() if name not in before]:
        CONVS.remove(name)


def test_the_operators_of_the_paper_come_first():
    assert list_convs()[:4] == ["mr", "edge", "gin", "sage"]


def test_an_operator_of_one_s_own_by_name(registered):
    @register_conv("largest")
    class Largest(MaxRelativeConv):
        """With heads, as it is a VisionConv."""

    register_conv("pyg_sage")(SAGEConv)
    for name, kind, heads in [("largest", Largest, 2), ("pyg_sage", SAGEConv, 4)]:
        model = PyramidViG("micro", conv=name, heads=heads, num_classes=3)
        assert type(model.graphers()[0].conv) is kind
        assert assert_parameters_get_gradients(model, torch.rand(2, 3, 32, 32)) > 0
    assert PyramidViG("micro", conv="largest", heads=2).graphers()[0].conv.heads == 2
    with pytest.raises(
        ValueError,
        match=r"choose one of mr, .*, mr_reversed, mr_gated, attention, largest, pyg_sage, or pass a callable",
    ):
        PyramidViG("micro", conv="smallest")
