import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conv.cases import graph, randomised
from vig_pyg.conv import EdgeConv, GINConv, GraphSAGEConv, MaxRelativeConv
from vig_pyg.conv._sparse import can_use_edge_norm, can_use_sparse, degrees, edge_norm, transposed_csr


class Largest(TorchDispatchMode):
    """The size of the largest strided tensor that any step returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(part, torch.Tensor) and part.layout == torch.strided and part.is_floating_point():
                self.numel = max(self.numel, part.numel())
        return out


def ragged(num_src, num_dst):
    """Targets with few or no neighbors, edges in any order."""
    edges = graph(num_src, num_dst)
    edges = edges[:, (torch.rand(edges.size(1)) < 0.6) & (edges[1] != 3)]
    return edges[:, torch.randperm(edges.size(1))]


@pytest.mark.parametrize("operator", [EdgeConv, GraphSAGEConv, GINConv])
@pytest.mark.parametrize("make", [graph, ragged])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("num_src", [None, 7])
def test_equals_the_messages_with_gradients_and_statistics(operator, make, heads, training, num_src):
    one = randomised(operator(8, 16, heads=heads).double()).train(training)
    edges = make(num_src or 18, 18)
    x = torch.randn(18, 8, dtype=torch.float64, requires_grad=True)
    src = x if num_src is None else torch.randn(num_src, 8, dtype=torch.float64, requires_grad=True)
    start, found = {key: value.clone() for key, value in one.state_dict().items()}, []
    for fuse in (True, False):
        one.load_state_dict(start)
        one.fuse = fuse
        out = one(x if num_src is None else (src, x), edges)
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        wanted = [*one.parameters(), x, *([src] if num_src else [])]
        grads = torch.autograd.grad((out * weight).sum(), wanted)
        buffers = [b.clone() for b in one.buffers()]
        found.append([out.detach(), *grads, *buffers])
    for mine, want in zip(*found, strict=True):
        torch.testing.assert_close(mine, want, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("operator", [EdgeConv, GraphSAGEConv, GINConv])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
def test_no_tensor_of_edges_and_channels(operator, training, fuse):
    one, edges, x = operator(8, 8, heads=1).train(training), graph(64, 64, k=18), torch.randn(64, 8)
    one.fuse = fuse
    with torch.no_grad(), Largest() as largest:
        one(x, edges)
    assert (largest.numel >= edges.size(1) * 8) == (not fuse)


@pytest.mark.parametrize("operator", [EdgeConv, GraphSAGEConv, GINConv, MaxRelativeConv])
@pytest.mark.parametrize("channels", [8, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [False, True])
def test_autocast_takes_any_features(operator, channels, dtype, training):
    one, edges = operator(channels, 16).train(training), graph()
    x = torch.randn(18, channels)
    with torch.autocast("cpu", torch.bfloat16):
        got = one(x.to(dtype), edges)
    torch.testing.assert_close(got.float(), one(x, edges), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("operator", [EdgeConv, GraphSAGEConv])
def test_a_watched_message_is_made(operator):
    one, seen = operator(8, 16), []
    one.register_message_forward_hook(lambda *_: seen.append(1))
    one(torch.randn(18, 8), graph())
    assert seen == [1]


def test_rows_are_targets():
    edges = torch.tensor([[2, 0, 1], [1, 0, 1]])
    adj_t = transposed_csr(edges, 4, 3, torch.float32)
    assert adj_t.to_dense().tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert [d.flatten().tolist() for d in degrees(adj_t, torch.float32)] == [[1, 1, 1, 0], [1, 2, 0]]


def test_edge_norm_is_batch_norm_over_repeated_nodes():
    norm, plain = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    h, of_edge = torch.randn(5, 4), torch.tensor([0, 0, 0, 1, 4])
    want = plain(h[of_edge])
    got = edge_norm(norm, h, h[of_edge].mean(0), h[of_edge].var(0, correction=0), 5)
    torch.testing.assert_close(got[of_edge], want)
    torch.testing.assert_close(norm.state_dict(), plain.state_dict())


def test_what_is_left_to_the_messages():
    edges = graph()
    assert can_use_sparse(torch.randn(18, 8), edges)
    assert not can_use_sparse(torch.randn(18, 8), edges[:, :0])
    assert not can_use_sparse(torch.randn(18, 8, device="meta"), edges)
    assert can_use_edge_norm(nn.BatchNorm1d(4))
    assert not can_use_edge_norm(nn.BatchNorm1d(4, momentum=None))
    assert not can_use_edge_norm(nn.LayerNorm(4))
