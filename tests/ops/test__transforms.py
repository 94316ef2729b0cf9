"""The operators under `torch.func`, against the same calls in a loop."""

import pytest
import torch
from torch.func import grad, jacrev, vmap

from vig_pyg.ops import is_transformed, knn, knn_max_relative, max_relative, without_transforms
from vig_pyg.ops._max_relative_samples import backward_rule, forward_rule
from vig_pyg.ops.checks import check_range

pytestmark = pytest.mark.filterwarnings(
    "error:There is a performance drop"
)  # vmap warns where it calls an operator once per sample


def edges_of(samples, sources, targets, count):
    rows = [torch.stack([torch.randint(sources, (count,)), torch.randint(targets, (count,))]) for _ in range(samples)]
    return torch.stack(rows)


def by_loop(function, *args):
    """The gradient with respect to the first argument, one sample after another, by ordinary backward passes."""
    found = []
    for sample in zip(*args, strict=True):
        x = sample[0].clone().requires_grad_()
        function(x, *sample[1:]).backward()
        found.append(x.grad)
    return torch.stack(found)


@pytest.mark.parametrize("seed", range(12))
def test_samples_of_max_relative_are_a_loop(seed):
    torch.manual_seed(seed)
    samples, m, n = (int(torch.randint(1, 6, ())) for _ in range(3))
    channels, count = 16 + 8 * (seed % 3), int(torch.randint(0, 30, ()))
    x, y, edges = torch.randn(samples, m, channels), torch.randn(samples, n, channels), edges_of(samples, m, n, count)

    def loss(x, y, edges):
        return max_relative(x, y, edges).sin().sum()

    want = by_loop(loss, x, y, edges)
    assert torch.equal(vmap(grad(loss))(x, y, edges), want)
    moved = x.movedim(0, 2).contiguous(), y.movedim(0, 1).contiguous(), edges.movedim(0, 1).contiguous()
    assert torch.equal(vmap(grad(loss), in_dims=(2, 1, 1))(*moved), want)
    shared = [part[:1].expand(samples, *part.shape[1:]) for part in (y, edges)]
    got = vmap(grad(loss), in_dims=(0, None, None))(x, y[0], edges[0])
    assert torch.equal(got, by_loop(loss, x, *shared))
    pairs = vmap(vmap(grad(loss), in_dims=(0, 0, None)), in_dims=(None, None, 0))(x, y, edges)  # nested
    assert torch.equal(pairs[0], by_loop(loss, x, y, edges[:1].expand_as(edges)))
    jacobian = torch.autograd.functional.jacobian(lambda x: max_relative(x, y[0], edges[0]), x[0])
    assert torch.equal(jacrev(lambda x: max_relative(x, y[0], edges[0]))(x[0]), jacobian)
    torch.testing.assert_close(
        jacrev(jacrev(loss))(x[0], y[0], edges[0]),
        torch.autograd.functional.hessian(lambda x: loss(x, y[0], edges[0]), x[0]),
    )


@pytest.mark.parametrize("seed", range(12))
def test_samples_of_a_search_are_a_loop(seed):
    torch.manual_seed(seed)
    samples, images, n = (int(torch.randint(1, 5, ())) for _ in range(3))
    m = int(torch.randint(3, 8, ()))
    k, step = int(torch.randint(1, m + 1, ())), int(torch.randint(1, 4, ()))
    x, y = torch.randn(samples, images, n, 16), torch.randn(samples, images, m, 16)
    biases = {
        "none": (None, None),
        "shared": (torch.randn(1, n, m), None),
        "of images": (torch.randn(images, 1, m), None),
        "of samples": (torch.randn(samples, 1, n, m), 0),
        "of both": (torch.randn(images, samples, 1, m), 1),
    }
    bias, dim = biases[list(biases)[seed % 5]]

    def search(function, x, y, bias):
        return function(x, y, k, step=step, bias=bias, normalize=seed % 2 == 0)

    def loss(x, y, bias):
        return search(knn_max_relative, x, y, bias).cos().sum()

    every = [bias if dim is None else bias.select(dim, i) for i in range(samples)]
    found = vmap(lambda *args: search(knn, *args), in_dims=(0, 0, dim))(x, y, bias)
    assert torch.equal(found, torch.stack([search(knn, *args) for args in zip(x, y, every, strict=True)]))
    got = vmap(grad(loss), in_dims=(0, 0, dim))(x, y, bias)
    assert torch.equal(got, by_loop(loss, x, y, every))
    jacobian = torch.autograd.functional.jacobian(lambda x: search(knn_max_relative, x, y[0], every[0]), x[0])
    assert torch.equal(jacrev(lambda x: search(knn_max_relative, x, y[0], every[0]))(x[0]), jacobian)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("sample", [0, 1, 2])
@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_node_of_another_sample_does_not_exist(row, sample, wrong):
    x, edges = torch.randn(3, 5, 16), edges_of(3, 5, 5, 9)
    edges[sample, row, 4] = wrong
    for function in (max_relative, lambda x, _, edges: check_range(edges, 5, 5) or x):
        with pytest.raises(IndexError, match=r"source indices in \[0, 5\) and target indices in \[0, 5\)"):
            vmap(grad(lambda x, edges, of=function: of(x, x, edges).sum()))(x, edges)


@pytest.mark.parametrize("by_target", [False, True])
def test_winners_as_a_gpu_keeps_them_are_sources_of_their_sample(by_target):
    """On a GPU they are the sources themselves, -1 for a target without neighbors."""
    samples, m, n, channels = 3, 4, 5, 2
    slots = torch.randint(-1, m, (samples, n, channels), dtype=torch.int32)
    x, y, edges = torch.randn(samples, m, channels), torch.randn(samples, n, channels), edges_of(samples, m, n, 6)
    first = torch.arange(samples, dtype=torch.int32).mul(m).view(-1, 1, 1)
    joined = torch.where(slots < 0, slots, slots + first).flatten(0, 1)

    def forward(x_src, x_dst, edge_index, *flags):
        assert torch.equal(edge_index.view(2, samples, -1)[0], edges[:, 0] + first.flatten(1))
        assert (
            flags == (True, by_target) and torch.equal(x_src, x.flatten(0, 1)) and torch.equal(x_dst, y.flatten(0, 1))
        )
        return torch.cat([x_dst, x_dst], 1), joined

    (out, kept), dims = forward_rule(forward, samples, (0, 0, 0, None, None), x, y, edges, True, by_target)
    assert dims == (0, 0) and torch.equal(kept, slots) and torch.equal(out[..., :channels], y)

    def backward(grad, edge_index, slots, num_src, flag):
        assert torch.equal(slots, joined) and num_src == samples * m and flag == by_target
        return grad.new_zeros(samples * m, channels), grad[:, :channels]

    gradient = torch.randn(samples, n, 2 * channels)
    (to_src, to_dst), _ = backward_rule(backward, samples, (0, 0, 0, None, None), gradient, edges, slots, m, by_target)
    assert to_src.shape == x.shape and torch.equal(to_dst, gradient[..., :channels])


def test_what_is_inside_of_a_transform():
    seen = []
    vmap(lambda x: seen.append((is_transformed(), without_transforms(x).shape)) or x)(torch.zeros(3, 2))
    vmap(grad(lambda x: seen.append((is_transformed(), without_transforms(x).shape)) or x.sum()))(torch.zeros(3, 2))
    assert seen == [(True, (3, 2))] * 2 and not is_transformed()
    plain = torch.zeros(2)
    assert without_transforms(plain) is plain
