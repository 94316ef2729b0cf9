import pytest
import torch
from torch import nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import MinAggregation

from tests.common import assert_same
from vig_pyg.conv import CONVS, GINConv, MaxRelativeConv
from vig_pyg.conv.base import VisionConv


@pytest.mark.parametrize("name", CONVS)
def test_operators_are_message_passing(name):
    assert issubclass(CONVS[name], VisionConv) and issubclass(CONVS[name], MessagePassing)


def test_pair_is_the_same_set_twice_or_two_sets():
    conv = MaxRelativeConv(4, 8)
    x, y = torch.rand(3, 4), torch.rand(2, 4)
    assert all(part is x for part in conv.pair(x))
    assert conv.pair((y, x)) == (y, x)


#: The operators that can aggregate without messages.
FUSED = [name for name, kind in CONVS.items() if not kind(16, 32)._has_own_steps and kind(16, 32).fuse]


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


@pytest.mark.parametrize("name", FUSED)
def test_a_subclass_with_messages_of_its_own_gets_them(name):
    base = CONVS[name]
    conv = (of_both_ends if name in ("mr", "edge", "mr_reversed") else of_sources)(base)(16, 32).eval()
    plain = base(16, 32).eval()
    plain.load_state_dict(conv.state_dict())
    assert plain.fuses() and not conv.fuses()
    x, edge_index = torch.randn(6, 16), torch.tensor([[1, 2, 3, 4, 5], [0, 0, 1, 2, 2]])
    assert not torch.allclose(conv(x, edge_index), plain(x, edge_index))


@pytest.mark.parametrize("name", CONVS)
def test_heads_are_said_by_name(name):
    with pytest.raises(TypeError, match="positional argument"):
        CONVS[name](16, 32, 4)


@pytest.mark.parametrize("name", FUSED)
def test_a_subclass_with_sums_of_its_own_has_them_called(name):
    """Its `message_and_aggregate` knows the messages, so nothing is in its way."""

    class Summed(CONVS[name]):
        def message_and_aggregate(self, adj_t, x):
            return super().message_and_aggregate(adj_t, x)

    class SummedAndMore(Summed):
        def message(self, *args):
            return super().message(*args)

    assert Summed(16, 32).fuses() and not SummedAndMore(16, 32).fuses()


@pytest.mark.parametrize("name", FUSED)
def test_a_subclass_that_changes_no_message_stays_fast(name):
    class Silent(CONVS[name]):
        """Changes nothing that matters."""

    assert Silent(16, 32).fuses()


def with_norm(conv, **options):
    part = conv.mlp_src if hasattr(conv, "mlp_src") else conv.mlp
    part[1] = torch.nn.BatchNorm1d(part[1].num_features, **options)
    return part


#: Changes of an operator, and whether `edge` and `sage` then make messages one by one.
WAYS = {
    "as it is": (lambda _: None, False, False),
    "without gradients": (lambda conv: conv.requires_grad_(False), False, False),
    "other statistics": (lambda conv: with_norm(conv, momentum=0.3), False, False),
    "statistics of the batch": (lambda conv: with_norm(conv, track_running_stats=False), True, True),
    "mean statistics": (lambda conv: with_norm(conv, momentum=None), True, True),
    "no scale": (lambda conv: with_norm(conv, affine=False), True, True),
    "watched": (lambda conv: with_norm(conv)[1].register_forward_hook(lambda *_: None), True, True),
    "another activation": (lambda conv: with_norm(conv).__setitem__(2, torch.nn.ReLU()), True, False),
}


@pytest.mark.parametrize("name", ["edge", "sage"])
@pytest.mark.parametrize("way", WAYS)
def test_messages_are_made_only_where_they_are_needed(name, way, monkeypatch):
    change, *made = WAYS[way]
    conv = CONVS[name](16, 32).train()
    change(conv)
    calls, message = [], conv.message
    monkeypatch.setattr(conv, "message", lambda *args, **more: calls.append(1) or message(*args, **more))
    x, edges = torch.randn(9, 16), torch.randint(9, (2, 40))
    conv(x, edges)
    assert bool(calls) == made[name == "sage"]


@pytest.mark.parametrize("name", ["edge", "sage"])
def test_one_edge_has_no_statistics(name):
    """As torch's own batch norm says of one row."""
    conv = CONVS[name](16, 32).train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        conv(torch.randn(9, 16), torch.tensor([[1], [2]]))
    assert conv.eval()(torch.randn(9, 16), torch.tensor([[1], [2]])).isfinite().all()


CHANNELS = [4, 16, 32]
BAD_EDGES = [
    (
        torch.tensor([[0, 1, 2, 9], [0, 0, 1, 1]]),
        IndexError,
        r"source indices in \[0, 4\) and target indices in \[0, 4\), got sources from 0 to 9",
    ),
    (torch.tensor([[0, 1, 2, 3], [0, 0, 1, 4]]), IndexError, "got sources from 0 to 3 and targets from 0 to 4"),
    (torch.tensor([[0, 1, -1, 3], [0, 0, 1, 1]]), IndexError, "got sources from -1 to 3"),
    (torch.tensor([[0, 1, 2**62, 3], [0, 0, 1, 1]]), IndexError, f"to {2**62}"),
    (torch.zeros(2, 3, dtype=torch.bool), TypeError, "must contain node indices of int64, got torch.bool"),
    (torch.zeros(2, 3, dtype=torch.uint8), TypeError, "got torch.uint8"),
    (torch.zeros(2, 3), TypeError, "got torch.float32"),
    (torch.eye(4).to_sparse_bsr(2), TypeError, "got one with layout torch.sparse_bsr"),
    ([[0, 1], [1, 0]], TypeError, "got list"),
    (torch.zeros(5, 2, dtype=torch.long), ValueError, r"shape \(2, E\), got \(5, 2\): transpose it"),
    (
        torch.zeros(2, 3, dtype=torch.long, device="meta"),
        ValueError,
        f"is on meta and the nodes are on {torch.empty(0).device}",
    ),
]


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("by_target", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
def test_bad_edges_are_refused_on_every_path(name, channels, training, fuse, by_target, pooled):
    if by_target and torch.get_default_device().type != "cpu":
        pytest.skip("who sets by_target has checked the edges: a GPU is not waited for")
    conv = CONVS[name](channels, 2 * channels).train(training)
    conv.fuse, conv.by_target = fuse, by_target
    x = torch.randn(4, channels, requires_grad=True)
    for edges, error, words in BAD_EDGES:
        with pytest.raises(error, match=words):
            conv((x, x.clone()) if pooled else x, edges)


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("fuse", [False, True])
def test_int32_is_read_as_int64(name, channels, fuse):
    conv = CONVS[name](channels, 2 * channels).eval()
    conv.fuse = fuse
    x, edges = torch.randn(9, channels), torch.randint(9, (2, 40))
    assert_same(conv(x, edges.int()), conv(x, edges))


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("fuse", [False, True])
def test_strides_of_nodes_and_edges_mean_nothing(name, fuse):
    conv = CONVS[name](16, 32).eval()
    conv.fuse = fuse
    x, edges = torch.randn(9, 16), torch.randint(9, (2, 40))
    want = conv(x, edges)
    for same in (x.t().contiguous().t(), x.repeat(1, 2)[:, :16], torch.cat([x[:1], x])[1:]):
        for graph in (edges.t().contiguous().t(), edges.repeat_interleave(2, 1)[:, ::2]):
            torch.testing.assert_close(conv(same, graph), want)


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(4, 16, dtype=torch.long), TypeError, "nodes must be a dense tensor of floating-point numbers"),
        (torch.rand(4, 16).to_sparse(), TypeError, "nodes must be a dense tensor"),
        ([1.0], TypeError, r"expects nodes \(N, C\) or a pair of sources and targets, got list"),
        ((None, torch.rand(4, 16)), TypeError, "nodes must be a tensor, got NoneType"),
        ((torch.rand(4, 16), torch.rand(4, 16).double()), ValueError, "sources and targets must have the same dtype"),
        ((torch.rand(4, 16, device="meta"), torch.rand(4, 16)), ValueError, "the same dtype and device"),
        (torch.rand(16), ValueError, r"expects nodes \(N, 16\), got \(16,\)"),
        (torch.rand(4, 0), ValueError, r"expects nodes \(N, 16\), got \(4, 0\)"),
    ],
)
def test_bad_nodes_are_refused(name, x, error, words):
    with pytest.raises(error, match=words):
        CONVS[name](16, 32)(x, torch.zeros(2, 3, dtype=torch.long))


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("fuse", [False, True])
def test_no_nodes_have_no_edges(name, fuse):
    conv = CONVS[name](16, 32).eval()
    conv.fuse = fuse
    x, none = torch.rand(0, 16), torch.zeros(2, 0, dtype=torch.long)
    assert conv(x, none).shape == (0, 32)
    assert conv((x, torch.rand(3, 16)), none).shape == (3, 32)
    with pytest.raises(IndexError, match=r"source indices in \[0, 0\)"):
        conv((x, torch.rand(3, 16)), torch.zeros(2, 1, dtype=torch.long))


@pytest.mark.parametrize("widths", [(0, 8), (8, 0), (-4, 8)])
def test_widths_are_at_least_one(widths):
    with pytest.raises(ValueError, match="Widths must be at least 1"):
        MaxRelativeConv(*widths)


@pytest.mark.parametrize("operator", [GINConv, MaxRelativeConv])
@pytest.mark.parametrize("heads", [1, 2])
def test_reset_parameters_draws_from_the_distribution_of_new_weights(operator, heads):
    """A linear layer of torch draws from another one by itself, and a bias too."""
    layer = operator(400, 400, heads=heads)
    deviation = float(layer.mlp[0].weight.detach().std())
    torch.nn.init.ones_(layer.mlp[0].bias)
    layer.reset_parameters()
    assert float(layer.mlp[0].weight.detach().std()) == pytest.approx(deviation, rel=0.05)
    assert layer.mlp[0].bias.abs().max() == 0


@pytest.mark.parametrize("name", FUSED)
def test_a_first_operator_that_cannot_fuse_does_not_harm_later_ones(name):
    """PyG generates `propagate` for a class when its first operator is made."""

    class Fresh(CONVS[name]):
        pass

    Fresh(16, 32, aggr="median")
    conv, plain = Fresh(16, 32).double().eval(), CONVS[name](16, 32).double().eval()
    plain.load_state_dict(conv.state_dict())
    x, edges = torch.randn(9, 16).double(), torch.randint(9, (2, 40))
    assert conv.fuses()
    assert_same(conv(x, edges), plain(x, edges))


HOOKS = ["propagate_forward_pre", "propagate_forward", "message_forward_pre", "message_forward"]
HOOKS += ["aggregate_forward_pre", "aggregate_forward"]


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_on_messages_switch_the_fused_path_off_and_on(name, kind):
    conv = CONVS[name](16, 32)
    handle = getattr(conv, f"register_{kind}_hook")(lambda *_: None)
    assert not conv.fuses() and not conv.skips_propagate()
    handle.remove()
    assert conv.fuses() and conv.skips_propagate()


@pytest.mark.parametrize("name", FUSED)
def test_whoever_looks_at_the_aggregation_gets_messages(name):
    conv = CONVS[name](16, 32)
    handle = conv.aggr_module.register_forward_hook(lambda *_: None)
    assert not conv.fuses()
    handle.remove()
    conv.aggr_module = MinAggregation()
    assert not conv.fuses()
    assert not CONVS[name](16, 32, flow="target_to_source").fuses()
    conv = CONVS[name](16, 32)
    conv.register_message_and_aggregate_forward_hook(lambda *_: None)
    assert conv.fuses() and not conv.skips_propagate()


def test_own_aggregations_and_options_reach_pyg():
    class Total(VisionConv):
        def forward(self, x, edge_index):
            x_src, x_dst, edges = self.inputs(x, edge_index)
            return self.exchange(x_src, x_dst, edges, x_src.size(1))

        def aggregate(self, inputs, index, dim_size):
            return inputs.new_zeros(dim_size, inputs.size(1)).index_add(0, index, inputs)

    x, edges = torch.randn(9, 16), torch.randint(9, (2, 40))
    here, there = Total(16, 16, heads=1, aggr=None), Total(16, 16, heads=1, aggr=None, flow="target_to_source")
    assert torch.allclose(here(x, edges), there(x, edges.flip(0))) and there.flow == "target_to_source"
    with pytest.raises(ValueError, match="in_channels=-1 is not supported"):
        Total(-1, 16, heads=1)(x, edges)


@pytest.mark.parametrize("name", CONVS)
def test_decomposition_is_refused_whenever_it_is_set(name):
    conv = CONVS[name](16, 32)
    with pytest.raises(ValueError, match="got decomposed_layers=2, leave it out"):
        conv.decomposed_layers = 2
    assert conv.decomposed_layers == 1


@pytest.mark.parametrize("name", FUSED)
def test_norms_without_running_statistics_are_those_of_the_messages(name):
    conv = CONVS[name](8, 16).eval()
    for mlp in conv.children():
        if isinstance(mlp, nn.Sequential):
            mlp[1] = nn.BatchNorm1d(mlp[1].num_features, track_running_stats=False).eval()
    x, edges = torch.rand(10, 8), torch.randint(10, (2, 40))
    fused = conv(x, edges)
    conv.fuse = False
    torch.testing.assert_close(fused, conv(x, edges), atol=1e-4, rtol=1e-4)
