"""The calls of PyG's operator tests on our four: right, or refused with the cause."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import EdgeConv, GINConv, SAGEConv

from tests.conv.cases import randomised
from tests.conv.pyg_calls import CALLS, HARD, OUT, C, reference
from vig_pyg.conv import CONVS

NAMES = ["mr", "edge", "gin", "sage"]
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks", "ignore:.*to CSR format")


def factory(name):
    def make(in_channels, **options):
        operator = CONVS[name](in_channels, OUT, heads=4, **options).double().eval()
        if -1 in (in_channels if isinstance(in_channels, tuple) else (in_channels,)):
            return operator
        constants = copy.deepcopy(operator.aggr_module)  # a quantile is no weight
        randomised(operator).aggr_module = constants
        return operator

    return make


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", CALLS)
def test_calls_of_pyg_are_right(name, call):
    for got, want in CALLS[call](factory(name), reference(name)):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


#: The cause that an operator names. GraphSAGE has two linear layers and takes more.
CAUSES = {
    "aggr [mean, max]": r"needs 8 aggregated channels, but aggr=\['mean', 'max'\] returned 16",
    "aggr None": "got aggr=None, but does not override `aggregate`",
    "widths (8, 12), pair": r"both need one width, got \(8, 12\)",
    "widths -1, pair of 8 and 12": r"both need one width, got \(8, 12\)",
    "widths -1, (x, None)": "learns its widths from the first input",
    "node_dim 1": "node_dim must be -2 or 0, got 1",
    "node_dim -1": "node_dim must be -2 or 0, got -1",
    "decomposed_layers 2": "got decomposed_layers=2",
    "static graphs": r"expects nodes \(N, 8\), got \(3, 5, 8\)",
    "unknown option": "unexpected keyword argument 'flows'",
    "unknown flow": "'sideways'",
    **{
        f"flow, pair, {form}": "has flow='target_to_source', which PyG defines for edges"
        for form in ("coo", "csr", "csc")
    },
    "size of other nodes": r"got 6 sources and 5 targets, but edges for 7 sources and 5 targets",
    "size turned": "edges for 5 sources and 6 targets",
    "matrix turned": r"edges for 5 sources and 6 targets .*: pass the transposed matrix, adj.t\(\)",
    "matrix of other nodes": "edges for 7 sources and 5 targets",
    "EdgeIndex of other nodes": "edges for 7 sources and 5 targets",
    "size and EdgeIndex disagree": r"got size=\(6, 6\), but the EdgeIndex is for \(6, 5\) nodes",
    "weighted matrix": "has no edge weights, but the values of its matrix are not all 1",
    "size of three": r"expects size=\(sources, targets\)",
}
RIGHT = {("sage", call) for call in ("aggr [mean, max]", "widths (8, 12), pair", "widths -1, pair of 8 and 12")}
RIGHT |= {(name, "flow, (x, None)") for name in NAMES}
RIGHT |= {(name, "widths -1, (x, None)") for name in ("mr", "edge", "gin")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", HARD)
def test_hard_calls_are_right_or_refused_with_the_cause(name, call):
    if (name, call) in RIGHT:
        for got, want in HARD[call](factory(name), reference(name)):
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
        return
    with pytest.raises((ValueError, TypeError), match=CAUSES[call]):
        HARD[call](factory(name), reference(name))


def plain_mlp(in_channels):
    return nn.Sequential(nn.Linear(in_channels, OUT), nn.BatchNorm1d(OUT), nn.GELU()).double().eval()


def one_width(in_channels):
    """PyG's GIN and EdgeConv take their MLP, so a width that is left open means 8 here."""
    widths = in_channels if isinstance(in_channels, tuple) else (in_channels,)
    return C if -1 in widths else max(widths)


#: PyG's own operators of the same kind; it has no Max-Relative.
PYG = {
    "edge": lambda width, **options: EdgeConv(plain_mlp(2 * one_width(width)), **options),
    "gin": lambda width, **options: GINConv(plain_mlp(one_width(width)), train_eps=True, **options).double().eval(),
    "sage": lambda width, **options: SAGEConv(width, OUT, **{"aggr": "max", **options}).double().eval(),
}


def plainly(operator, x_src, x_dst, edges, mask=None):
    """PyG's operator, called in the plainest way."""
    return operator((x_src, x_dst), edges)


def fails(call, make):
    try:
        for got, want in call(make, plainly):
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    except Exception:
        return True
    return False


#: What PyG's operators of the same kind accept and ours refuse: PyG ignores the contradiction, or the batch norm and
#: the promised width of ours cannot follow.
IGNORED = {"size and EdgeIndex disagree", "size of three", "node_dim 1", "node_dim -1"}
STRICTER = {
    "edge": {"aggr [mean, max]"},
    "gin": IGNORED,
    "sage": IGNORED | {"static graphs", "widths -1, (x, None)"},
}


@pytest.mark.parametrize("name", PYG)
def test_what_is_refused_fails_in_pygs_operators_too(name):
    refused = {call for call in HARD if (name, call) not in RIGHT}
    refused.discard("weighted matrix")  # whether PyG's class accepts it depends on the first instance in the process
    accepted = {call for call in refused if not fails(HARD[call], PYG[name])}
    assert accepted == STRICTER[name]
