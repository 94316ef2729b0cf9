import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn.aggr import MinAggregation

from tests.conv import dense
from tests.conv.cases import DTYPES, OperatorLaws, graph, randomised
from vig_pyg.conv import MaxRelativeConv, max_relative_conv
from vig_pyg.ops import has_native_kernels


class TestMaxRelativeConv(OperatorLaws):
    operator_class = MaxRelativeConv
    equation = staticmethod(dense.max_relative)


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any step returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(part, torch.Tensor) and part.layout == torch.strided:
                self.numel = max(self.numel, part.numel())
        return out


def unsorted(num_src, num_dst):
    return graph(num_src, num_dst)[:, torch.randperm(num_dst * 5)]


def lonely(num_src, num_dst):
    """Some targets without neighbors, the first and the last too."""
    edges = graph(num_src, num_dst)
    return edges[:, (edges[1] % 4 != 0) & (edges[1] != num_dst - 1)]


def doubled(num_src, num_dst):
    return torch.cat([graph(num_src, num_dst)] * 2, dim=1)


def ragged(num_src, num_dst):
    edges = graph(num_src, num_dst)
    return edges[:, torch.rand(edges.size(1)) < 0.7]


GRAPHS = [graph, unsorted, lonely, doubled, ragged]


def both(dtype, edges, num_src=None, channels=8):
    """The same operator and nodes for the fused and the general path; the kernel takes 16 channels and more."""
    operator = randomised(MaxRelativeConv(channels, 16).to(dtype))
    x = torch.randn(18, channels).to(dtype).requires_grad_()
    source = x if num_src is None else torch.randn(num_src, channels).to(dtype).requires_grad_()
    inputs = x if num_src is None else (source, x)
    outs = []
    for fuse in (True, False):
        operator.fuse = fuse
        outs.append(operator(inputs, edges))
    return operator, (x, source), outs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", GRAPHS)
@pytest.mark.parametrize("num_src", [None, 7])
@pytest.mark.parametrize("channels", [8, 32])
def test_fused_equals_the_general_path_bit_for_bit(dtype, make, num_src, channels):
    _, _, (fused, general) = both(dtype, make(num_src or 18, 18), num_src, channels)
    assert torch.equal(fused, general)
    with torch.no_grad():
        _, _, (fused, general) = both(dtype, make(num_src or 18, 18), num_src, channels)
    assert torch.equal(fused, general)


@pytest.mark.parametrize(
    ("channels", "dtype", "fuse", "taken"),
    [
        (32, torch.float32, True, True),
        (16, torch.float32, True, True),
        (8, torch.float32, True, False),
        (32, torch.float64, True, False),
        (32, torch.float32, False, False),
    ],
)
@pytest.mark.skipif(not has_native_kernels(), reason="the kernels are not compiled here")
def test_the_kernel_is_taken_where_it_can_be(monkeypatch, channels, dtype, fuse, taken):
    calls = []
    kernel = max_relative_conv.max_relative
    monkeypatch.setattr(
        max_relative_conv, "max_relative", lambda *args, **more: calls.append(1) or kernel(*args, **more)
    )
    operator = MaxRelativeConv(channels, 16).to(dtype)
    operator.fuse = fuse
    operator(torch.randn(18, channels, dtype=dtype), graph())
    assert bool(calls) == taken


@pytest.mark.parametrize("make", [graph, unsorted, lonely, ragged])
@pytest.mark.parametrize("num_src", [None, 7])
@pytest.mark.parametrize(("dtype", "channels", "atol"), [(torch.float64, 8, 1e-12), (torch.float32, 32, 1e-4)])
def test_gradients_of_both_paths_are_equal(make, num_src, dtype, channels, atol):
    operator, inputs, outs = both(dtype, make(num_src or 18, 18), num_src, channels)
    weight = torch.randn(18, 16, dtype=dtype)
    wanted = [*operator.parameters(), *(inputs if num_src else inputs[:1])]
    fused, general = (torch.autograd.grad((out * weight).sum(), wanted) for out in outs)
    for one, two in zip(fused, general, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5 if dtype is torch.float32 else 0, atol=atol)


def test_an_edge_listed_twice_counts_once():
    operator, edges, x = randomised(MaxRelativeConv(8, 16).double()), graph(), torch.randn(18, 8).double()
    x.requires_grad_()
    once, twice = (operator(x, e) for e in (edges, torch.cat([edges, edges], dim=1)))
    assert torch.equal(once, twice)
    torch.testing.assert_close(*(torch.autograd.grad(out.sum(), x)[0] for out in (once, twice)), rtol=0, atol=1e-12)


def test_a_node_without_neighbors_has_maximum_zero():
    operator, (x, _), (fused, _) = both(torch.float64, lonely(18, 18))
    want = operator.mlp(torch.stack([x[:1], torch.zeros_like(x[:1])], dim=2).flatten(1))
    torch.testing.assert_close(fused[:1], want)


@pytest.mark.parametrize(("fuse", "materialized"), [(True, False), (False, True)])
def test_no_tensor_of_edges_and_channels_in_evaluation(fuse, materialized):
    channels = 16 if torch.get_default_device().type == "cuda" else 8  # what the kernel for GPUs takes at least
    operator, x, edges = MaxRelativeConv(channels, 16).eval(), torch.randn(64, channels), graph(64, 64, k=18)
    operator.fuse = fuse
    with torch.no_grad(), Largest() as largest:
        operator(x, edges)
    assert (largest.numel >= edges.size(1) * channels) == materialized


def test_heads_see_features_and_maxima_interleaved():
    operator = MaxRelativeConv(4, 4, heads=4).eval()
    torch.nn.init.ones_(operator.mlp[0].weight)
    x = torch.arange(8.0).view(2, 4)
    got = operator(x, torch.tensor([[1], [0]]))[0]
    want = torch.nn.functional.gelu((x[0] + (x[1] - x[0])) / (1 + 1e-5) ** 0.5)  # head c sees x_c and m_c
    torch.testing.assert_close(got, want)


#: Ways to aggregate: type, width, fused, and whether the native kernels are there.
PATHS = {
    "native kernel": (torch.float32, 16, True, True),
    "sparse product": (torch.float64, 16, True, True),
    "sparse product in float32": (torch.float32, 16, True, False),
    "messages": (torch.float64, 16, False, True),
    "messages in float32": (torch.float32, 16, False, True),
}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("make", [*GRAPHS, lambda m, n: graph(m, n)[:, torch.randperm(5 * n)].repeat(1, 2)])
def test_of_equal_neighbors_the_first_gets_the_gradient_on_every_path(seed, make, monkeypatch):
    """Features with few values, so that most maxima are tied."""
    torch.manual_seed(seed)
    edges, weight = make(7, 18), torch.randint(-8, 8, (18, 32)).double()
    values = torch.randint(0, 2, (7, 16)), torch.randint(0, 2, (18, 16))
    want = torch.zeros(7, 16, dtype=torch.float64)
    for i in range(18):
        source = edges[0, edges[1] == i]
        if len(source):
            first = source[values[0][source].max(0).indices]
            want[first, torch.arange(16)] += weight[i, 1::2]
    for name, (dtype, channels, fuse, native) in PATHS.items():
        operator = MaxRelativeConv(channels, 16).to(dtype)
        operator.fuse = fuse
        x_src, x_dst = (part.to(dtype).requires_grad_() for part in values)
        with monkeypatch.context() as patched:
            if not native:
                patched.setattr(max_relative_conv, "has_max_relative", lambda *_: False)
            out = operator.combine((x_src, x_dst), edges)
        got = torch.autograd.grad((out * weight.to(dtype)).sum(), x_src)[0]
        assert torch.equal(got.double(), want), name


def test_another_aggregation_is_the_caller_s():
    operator, x = MaxRelativeConv(8, 16), torch.randn(18, 8)
    operator.fuse = False
    largest = operator.combine(x, graph())
    operator.aggr_module = MinAggregation()
    assert (operator.combine(x, graph())[:, 1::2] <= largest[:, 1::2]).all()
