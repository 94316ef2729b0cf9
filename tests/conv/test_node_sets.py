"""Every operator of PyG under pooled sources: right, or refused with our message."""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

from vig_pyg import DilatedKNN, PyramidViG, ViG, conv
from vig_pyg.block import Grapher
from vig_pyg.conv.node_sets import apply_to_pair, takes_one_set
from vig_pyg.data import BatchLayout

LAYOUT = BatchLayout.from_sizes([(4, 4), (4, 6)])


def linear(i, o):
    return nn.Sequential(nn.Linear(i, o))


#: Operators of PyG that map a width to another.
OPERATORS = {
    "ARMAConv": pyg.ARMAConv,
    "CGConv": lambda i, o: pyg.CGConv(i),
    "ChebConv": lambda i, o: pyg.ChebConv(i, o, K=2),
    "ClusterGCNConv": pyg.ClusterGCNConv,
    "EGConv": lambda i, o: pyg.EGConv(i, o, num_heads=4),
    "EdgeConv": lambda i, o: pyg.EdgeConv(linear(2 * i, o)),
    "FeaStConv": pyg.FeaStConv,
    "FiLMConv": pyg.FiLMConv,
    "GATConv": pyg.GATConv,
    "GATv2Conv": pyg.GATv2Conv,
    "GCNConv": pyg.GCNConv,
    "GENConv": pyg.GENConv,
    "GINConv": lambda i, o: pyg.GINConv(linear(i, o)),
    "GatedGraphConv": lambda i, o: pyg.GatedGraphConv(o, num_layers=1),
    "GeneralConv": pyg.GeneralConv,
    "GraphConv": pyg.GraphConv,
    "HypergraphConv": pyg.HypergraphConv,
    "LEConv": pyg.LEConv,
    "LGConv": lambda i, o: pyg.LGConv(),
    "MFConv": pyg.MFConv,
    "MixHopConv": lambda i, o: pyg.MixHopConv(i, o // 2, powers=[0, 1]),
    "PANConv": lambda i, o: pyg.PANConv(i, o, filter_size=2),
    "PDNConv": lambda i, o: pyg.PDNConv(i, o, edge_dim=1, hidden_channels=4),
    "PNAConv": lambda i, o: pyg.PNAConv(i, o, ["mean", "max"], ["identity"], torch.tensor([0, 0, 0, 5])),
    "ResGatedGraphConv": pyg.ResGatedGraphConv,
    "SAGEConv": pyg.SAGEConv,
    "SGConv": pyg.SGConv,
    "SSGConv": lambda i, o: pyg.SSGConv(i, o, alpha=0.1),
    "SimpleConv": lambda i, o: pyg.SimpleConv(combine_root="cat"),
    "SuperGATConv": pyg.SuperGATConv,
    "TAGConv": pyg.TAGConv,
    "TransformerConv": pyg.TransformerConv,
    "WLConvContinuous": lambda i, o: pyg.WLConvContinuous(),
}


class Wrapped(nn.Module):
    """An operator whose own signature says nothing."""

    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x, edge_index):
        return self.operator(x, edge_index)


#: Those whose `x` is one tensor.
REFUSED = {"ARMAConv", "ChebConv", "ClusterGCNConv", "EGConv", "GCNConv", "GatedGraphConv", "HypergraphConv"}
REFUSED |= {"LGConv", "MixHopConv", "PANConv", "PDNConv", "PNAConv", "SGConv", "SSGConv", "SuperGATConv", "TAGConv"}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_for_one_set_is_refused_when_the_grapher_is_made(name):
    options = {"conv": OPERATORS[name], "graph": DilatedKNN, "k": 3}
    Grapher(8, **options)  # without pooling all are welcome
    if name in REFUSED:
        with pytest.raises(ValueError, match=rf"{name} does not accept a pair .* \(reduce_ratio=2\); its x is one"):
            Grapher(8, **options, reduce_ratio=2)
    else:
        assert not takes_one_set(Grapher(8, **options, reduce_ratio=2).conv)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_wrapped_operator_is_right_or_refused_at_the_first_call(name):
    grapher = Grapher(8, conv=lambda i, o: Wrapped(OPERATORS[name](i, o)), graph=DilatedKNN, k=3, reduce_ratio=2)
    x = torch.randn(LAYOUT.num_nodes, 8)
    grapher.to(x.device)  # some operators of PyG make parameters on the CPU
    try:
        assert grapher(x, LAYOUT).shape == x.shape and name not in REFUSED
    except ValueError as error:
        words = ("does not accept a pair", "returned", "does not support bipartite message passing")
        assert any(word in str(error) for word in words), str(error)
        known = REFUSED | {"WLConvContinuous", "SimpleConv", "CGConv"}
        assert name in known


@pytest.mark.parametrize("name", ["PNAConv", "ChebConv", "TAGConv", "GCNConv"])
def test_models_say_it_too_and_the_advice_is_right(name):
    with pytest.raises(ValueError, match=f"{name} does not accept a pair"):
        PyramidViG("micro", conv=OPERATORS[name])
    images = torch.rand(2, 3, 32, 32)
    plain = ViG("micro", conv=OPERATORS[name], num_classes=3).to(images.device)
    assert plain.eval()(images).shape == (2, 3)
    flat = PyramidViG("micro", conv=OPERATORS[name], reduce_ratios=(1, 1, 1, 1), num_classes=3)
    assert flat.to(images.device).eval()(images).shape == (2, 3)


def test_other_errors_keep_their_type():
    class Broken(nn.Module):
        def forward(self, x, edge_index):
            raise RuntimeError("out of memory")

    x, edges = torch.rand(3, 8), torch.zeros(2, 0).long()
    with pytest.raises(RuntimeError, match="out of memory"):
        apply_to_pair(Broken(), (x, x), edges, 2)
    with pytest.raises(AttributeError):  # of one tensor no pair is to blame
        apply_to_pair(Wrapped(lambda x, e: x.nothing), x, edges, 1)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        apply_to_pair(Wrapped(lambda x, e, more: x), (x, x), edges, 2)
    with pytest.raises(ValueError, match="it failed with AttributeError: 'tuple' object has no attribute 'nothing'"):
        apply_to_pair(Wrapped(lambda x, e: x.nothing), (x, x), edges, 2)
    assert not any(takes_one_set(operator(8, 16)) for operator in conv.CONVS.values())


@pytest.mark.parametrize("operator", [pyg.GATConv, pyg.GATv2Conv, pyg.FeaStConv])
def test_a_wrapped_operator_adds_no_loops_between_other_places(operator):
    """Target i and source i are different places."""
    plain = Grapher(8, conv=operator, graph=DilatedKNN, k=3, reduce_ratio=2).eval()
    wrapped = Grapher(8, conv=lambda i, o: Wrapped(operator(i, o)), graph=DilatedKNN, k=3, reduce_ratio=2).eval()
    wrapped.load_state_dict({k.replace("conv.", "conv.operator."): v for k, v in plain.state_dict().items()})
    x = torch.randn(LAYOUT.num_nodes, 8)
    torch.testing.assert_close(wrapped(x, LAYOUT), plain(x, LAYOUT))
    assert operator(8, 8).add_self_loops and not plain.conv.add_self_loops
