import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

from tests.common import calibrated
from vig_pyg import PyramidViG, ViG
from vig_pyg.conv import CONVS, resolve_conv
from vig_pyg.testing import assert_batch_independence, assert_operator, assert_parameters_get_gradients

OTHERS = {
    "GATv2Conv": lambda i, o: pyg.GATv2Conv(i, o),
    "TransformerConv": lambda i, o: pyg.TransformerConv(i, o),
    "SAGEConv": lambda i, o: pyg.SAGEConv(i, o),
    "GraphConv": lambda i, o: pyg.GraphConv(i, o),
    "GINConv": lambda i, o: pyg.GINConv(nn.Linear(i, o)),
}
IMAGES = [(3, 32, 32), (3, 24, 40), (3, 32, 32)]


@pytest.mark.parametrize("name", CONVS)
def test_a_name_is_its_operator(name):
    operator = resolve_conv(name, heads=2)(8, 16)
    assert type(operator) is CONVS[name]
    assert (operator.in_channels, operator.out_channels, operator.heads) == (8, 16, 2)


def test_a_callable_stays_as_it_is():
    assert resolve_conv(OTHERS["SAGEConv"], heads=4) is OTHERS["SAGEConv"]


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(
        ValueError,
        match=r"Unknown conv 'gat': choose one of " + ", ".join(CONVS) + ", or pass a callable",
    ):
        ViG("micro", conv="gat")


def test_neither_name_nor_callable_is_refused():
    with pytest.raises(TypeError, match="conv must be a name or a callable"):
        ViG("micro", conv=3)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operators_of_pyg_keep_the_laws(name, dtype):
    assert assert_operator(OTHERS[name], dtype=dtype) < 1e-5


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("name", OTHERS)
def test_operators_of_pyg_go_into_both_families(family, name):
    model = family("micro", conv=OTHERS[name], num_classes=5)
    images = torch.rand(2, 3, 32, 32)
    assert sum(type(module).__name__ == name for module in model.modules()) == model.config.num_blocks
    logits = model.train()(images)
    assert logits.shape == (2, 5) and logits.isfinite().all()
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert assert_parameters_get_gradients(model, images) > 0


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("name", [*OTHERS, *CONVS])
@pytest.mark.parametrize("ragged", [False, True])
def test_images_of_a_batch_are_independent(family, name, ragged):
    # in float64: where two sources are equally near in float32, rounding decides, and with it the number of threads
    model = calibrated(family("micro", conv=OTHERS.get(name, name), num_classes=5)).double()
    images = [torch.rand(*shape).double() for shape in IMAGES] if ragged else torch.rand(3, 3, 32, 32).double()
    assert assert_batch_independence(model, images) < 1e-10


@pytest.mark.parametrize(
    ("conv", "got"),
    [
        (lambda i, o: pyg.SAGEConv(i, o + 4), r"SAGEConv returned \(128, 132\), expected \(128, 128\)"),
        (lambda i, o: pyg.GATv2Conv(i, o, heads=2), r"GATv2Conv returned \(128, 256\), expected \(128, 128\)"),
    ],
)
def test_a_wrong_output_shape_is_refused(conv, got):
    with pytest.raises(ValueError, match=rf"{got}: an operator made by conv\(64, 128\) must return"):
        ViG("micro", conv=conv)(torch.rand(2, 3, 32, 32))


def test_self_loops_are_switched_off_where_sources_are_pooled():
    model = PyramidViG("micro", conv=OTHERS["GATv2Conv"])
    loops = [grapher.conv.add_self_loops for grapher in model.graphers()]
    assert loops == [grapher.reduce_ratio == 1 for grapher in model.graphers()]
