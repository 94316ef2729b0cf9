"""Search and Max-Relative in one operator: on a CPU plain torch, and the kernels for GPUs in Triton's interpreter."""

import pytest
import torch

from vig_pyg.ops import _knn_max_relative, knn, knn_max_relative, max_relative
from vig_pyg.ops._triton import MOST_IMAGES

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
#: Images, targets, sources, channels, how many are looked at, and which stay.
SHAPES = [(2, 30, 12, 16, 5, 1), (1, 9, 9, 40, 9, 2), (3, 4, 300, 7, 6, 3), (2, 7, 1, 20, 1, 1)]


def nodes(shape, dtype=torch.float32, *, equal=False):
    """Targets and sources; `equal` ones hold few values, so that features and maxima tie."""
    b, n, m, channels, *_ = shape
    make = (lambda *s: torch.randint(0, 2, s).float()) if equal else torch.randn
    return make(b, n, channels).to(dtype).to(DEVICE), make(b, m, channels).to(dtype).to(DEVICE)


def through_edges(x, y, k, step, bias, normalize):
    """The general path: edges, then gathered maxima of plain torch."""
    edges = knn(x, y, k, step=step, bias=bias, normalize=normalize)
    flat = x.flatten(0, 1)
    largest = y.flatten(0, 1)[edges[0]].view(len(flat), -1, x.size(2)).max(1).values
    return torch.stack([flat, largest - flat], 2).flatten(1)


def on_gpu(*args):
    """The implementation for GPUs, with its gradients."""
    x, y = args[0].detach(), args[1].detach()
    out, winners = _knn_max_relative._on_gpu(x, y, *args[2:], "highest", True)
    return out, lambda grad: _knn_max_relative._backward_on_gpu(grad, winners, y.size(0) * y.size(1), y.size(0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equals_the_general_path(shape, equal, biased, dtype):
    x, y = nodes(shape, dtype, equal=equal)
    b, n, m, channels, k, step = shape
    bias = torch.randn(1, n, m).to(DEVICE) if biased else None
    weight = torch.randn(b * n, 2 * channels).to(dtype).to(DEVICE)
    found = []
    for way in (lambda *a: knn_max_relative(*a[:3], step=a[3], bias=a[4], normalize=a[5]), through_edges):
        one, two = x.clone().requires_grad_(), y.clone().requires_grad_()
        out = way(one, two, k, step, bias, True)
        found.append((out, *torch.autograd.grad((out * weight).sum(), (one, two))))
    assert torch.equal(found[0][0], found[1][0])
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    for mine, theirs in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("in_order", [False, True])
def test_the_kernels_for_gpus_give_the_same(shape, equal, in_order, monkeypatch):
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: in_order)
    (x, y), (_, _, _, _, k, step) = nodes(shape, equal=equal), shape
    out, backward = on_gpu(x, y, k, step, None, True)
    one, two = x.clone().requires_grad_(), y.clone().requires_grad_()
    want = knn_max_relative(one, two, k, step=step, normalize=True)
    assert torch.equal(out, want)
    grad = torch.randn_like(out)
    want.backward(grad)
    to_src, to_dst = backward(grad)
    torch.testing.assert_close(to_src.view_as(y), two.grad, rtol=1e-6, atol=1e-6)
    assert torch.equal(to_dst.view_as(x), one.grad)


def test_targets_that_are_sources_get_both_gradients():
    x = torch.randn(2, 9, 16, device=DEVICE, requires_grad=True)
    weight = torch.randn(18, 32, device=DEVICE)
    got = torch.autograd.grad((knn_max_relative(x, x, 4, normalize=True) * weight).sum(), x)[0]
    want = torch.autograd.grad((through_edges(x, x, 4, 1, None, True) * weight).sum(), x)[0]
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_the_nearest_of_equal_neighbors_gets_the_gradient_on_every_path():
    """Blank patches: all neighbors equal; every path gives the gradient to the first in the order of the edges."""
    x = torch.ones(2, 6, 16, device=DEVICE)
    grads = []
    for way in ("fused", "edges", "kernels"):
        one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
        if way == "kernels":
            out, backward = on_gpu(one, two, 4, 1, None, True)
            grads.append(backward(torch.ones_like(out))[0].view_as(x))
            continue
        if way == "fused":
            out = knn_max_relative(one, two, 4, normalize=True)
        else:
            edges = knn(one.detach(), two.detach(), 4, normalize=True)
            out = max_relative(two.flatten(0, 1), one.flatten(0, 1), edges, by_target=True)
        grads.append(torch.autograd.grad(out.sum(), two)[0])
    first = knn(x, x, 4, normalize=True)[0].view(2, 6, 4)[..., 0]
    want = torch.zeros(12, 16, device=DEVICE).index_add_(0, first.flatten(), torch.ones(12, 16, device=DEVICE))
    for grad in grads:
        assert torch.equal(grad.flatten(0, 1), want)


@pytest.mark.parametrize("way", [_knn_max_relative._plain_backward, _knn_max_relative._backward_on_gpu])
def test_strides_of_gradients_mean_nothing(way):
    grad, winners = torch.randn(10, 32, device=DEVICE), torch.randint(0, 5, (10, 16), device=DEVICE).to(torch.uint8)
    want = way(grad, winners, 10, 2)
    for one, two in ((grad.t().contiguous().t(), winners), (grad.repeat(1, 2)[:, :32], winners.t().contiguous().t())):
        for mine, theirs in zip(way(one, two, 10, 2), want, strict=True):
            torch.testing.assert_close(mine, theirs)


def test_winners_are_kept_only_for_gradients_in_the_smallest_type():
    for m, kind in ((256, torch.uint8), (257, torch.int16), (2**15 + 1, torch.int32)):
        x, y = torch.randn(1, 1, 2, device=DEVICE), torch.randn(1, m, 2, device=DEVICE)
        for winners, count in ((True, 1), (False, 0)):
            won = torch.ops.vig_pyg.knn_max_relative(x, y, 2, 1, None, True, "highest", winners)[1]
            assert won.dtype == kind and won.shape == (count, 2)


def test_nothing_but_winners_is_kept_for_the_backward_pass():
    saved = []
    x = torch.randn(2, 9, 16, device=DEVICE, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        knn_max_relative(x, x, 4, normalize=True)
    assert [(t.dtype, t.shape) for t in saved] == [(torch.uint8, (18, 16))]


@pytest.mark.parametrize("images", [0, 2])
def test_no_targets_have_no_result(images):
    x, y = torch.randn(images, 0, 16, device=DEVICE), torch.randn(images, 3, 16, device=DEVICE)
    for found in (knn_max_relative(x, y, 2), _knn_max_relative._on_gpu(x, y, 2, 1, None, False, "highest", True)[0]):
        assert found.shape == (0, 32)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_no_images_and_no_targets_have_gradients_of_their_shape_on_every_path(shape):
    images, n = shape
    x, y = torch.randn(images, n, 16, device=DEVICE), torch.randn(images, 3, 16, device=DEVICE)
    one, two = x.clone().requires_grad_(), y.clone().requires_grad_()
    grads = torch.autograd.grad(knn_max_relative(one, two, 2).pow(2).sum(), (one, two), create_graph=True)
    again = torch.autograd.grad(sum(grad.sum() for grad in grads), (one, two))
    for found in (grads, again):
        assert [grad.shape for grad in found] == [x.shape, y.shape] and not any(grad.any() for grad in found)
    out, backward = on_gpu(x, y, 2, 1, None, False)
    assert out.shape == (images * n, 32)
    to_src, to_dst = backward(torch.ones_like(out))
    assert to_src.shape == (images * 3, 16) and not to_src.any() and to_dst.shape == (images * n, 16)
    fake = _knn_max_relative._fake_backward(out, out.new_empty(images * n, 16, dtype=torch.uint8), images * 3, images)
    assert [part.shape for part in fake] == [to_src.shape, to_dst.shape]


def test_what_does_not_fit_is_refused():
    x = torch.randn(2, 5, 16, device=DEVICE)
    for k, step in ((6, 1), (0, 1), (2, 0)):
        with pytest.raises(ValueError, match="k must be from 1 to 5"):
            knn_max_relative(x, x, k, step=step)
    with pytest.raises(ValueError, match="equal numbers of images and channels"):
        knn_max_relative(x, x[:1], 2)
    with pytest.raises(ValueError, match="Unknown precision"):
        knn_max_relative(x, x, 2, precision="low")
    backward = torch.ops.vig_pyg.knn_max_relative_backward
    grad, winners = torch.randn(10, 32, device=DEVICE), torch.zeros(10, 16, dtype=torch.uint8, device=DEVICE)
    cases = [(grad[:, 1:], winners, 10, 2), (grad, winners[:5], 10, 2), (grad, winners, 10, 3), (grad, winners, -2, 2)]
    cases += [(grad, winners, 10, 0), (grad, winners.short(), 10, 2), (grad, winners, 600, 2)]
    for case in cases:
        with pytest.raises(ValueError, match=r"must match each other|must be of"):
            backward(*case)


def test_edges_are_preferred_where_there_is_no_gpu():
    x = torch.randn(3, 16, device="cpu")
    assert not _knn_max_relative.prefers_no_edges(x, x)
    assert not _knn_max_relative.prefers_no_edges(x.to("meta"), x.to("meta"))


def test_a_gpu_needs_no_edges_while_nothing_is_exported(monkeypatch):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(4, 16, device="cuda")
        assert _knn_max_relative.prefers_no_edges(x, x)
        assert not _knn_max_relative.prefers_no_edges(x.double(), x.double())
        assert not _knn_max_relative.prefers_no_edges(x, x.half())
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
        assert not _knn_max_relative.prefers_no_edges(x, x)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck's own
def test_is_a_registered_operator():
    x, y = torch.randn(2, 9, 16, device=DEVICE), torch.randn(2, 7, 16, device=DEVICE)
    arguments = (x.requires_grad_(), y.requires_grad_(), 4, 2, None, True, "highest", True)
    torch.library.opcheck(torch.ops.vig_pyg.knn_max_relative.default, arguments)


def test_operations_are_counted():
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.randn(2, 9, 16, device=DEVICE)
    with FlopCounterMode(display=False) as counter:
        knn_max_relative(x, x, 3)
    assert counter.get_total_flops() == 2 * 2 * 9 * 9 * 16


def test_a_search_gives_its_bias_no_gradient():
    x, bias = torch.randn(1, 9, 16, device=DEVICE), torch.randn(1, 1, 9, device=DEVICE, requires_grad=True)
    assert not knn_max_relative(x, x, 3, bias=bias).requires_grad
    x.requires_grad_()
    knn_max_relative(x, x, 3, bias=bias).sum().backward()
    assert bias.grad is None and x.grad is not None


def test_gradients_of_gradients_equal_those_of_the_general_path():
    x, y = nodes((2, 30, 12, 16), torch.float64)
    found = []
    for way in (lambda *a: knn_max_relative(*a[:3], normalize=a[5]), through_edges):
        one, two = x.clone().requires_grad_(), y.clone().requires_grad_()
        grads = torch.autograd.grad(way(one, two, 3, 1, None, True).pow(3).sum(), (one, two), create_graph=True)
        found.append(torch.autograd.grad(sum(grad.square().sum() for grad in grads), (one, two)))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_more_images_than_a_grid_counts_take_the_plain_way(monkeypatch):
    x = torch.randn(MOST_IMAGES + 1, 1, 1, device=DEVICE)
    monkeypatch.setattr(_knn_max_relative, "triton_kernels", lambda _: "has no kernels")
    out, winners = _knn_max_relative._on_gpu(x, x, 1, 1, None, False, "highest", True)
    assert out[:, 1].eq(0).all()
    to_src, to_dst = _knn_max_relative._backward_on_gpu(torch.ones_like(out), winners, len(x), len(x))
    assert to_src.eq(1).all() and to_dst.eq(0).all()
