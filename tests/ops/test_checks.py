import random

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.ops.hostile import freed, unaligned
from vig_pyg.ops import knn, max_relative
from vig_pyg.ops.checks import address, check_features, check_range, check_same, checked_edges, is_symbolic

CPU = torch.device("cpu")


def test_edges_stay_as_they_are_or_become_int64():
    edges = torch.tensor([[0, 1], [1, 0]])
    assert checked_edges(edges, CPU) is edges
    assert checked_edges(edges.int(), CPU).dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.float32, torch.float64])
def test_other_types_of_edges_are_named(dtype):
    with pytest.raises(TypeError, match=rf"My's edge_index must contain node indices of int64, got {dtype}"):
        checked_edges(torch.zeros(2, 3, dtype=dtype), CPU, "My")


@pytest.mark.parametrize(
    ("edges", "error", "words"),
    [
        ([[0], [0]], TypeError, r"got list: pass torch.as_tensor"),
        (None, TypeError, "got NoneType"),
        (torch.eye(3).to_sparse().long(), TypeError, "got one with layout torch.sparse_coo"),
        (torch.zeros(5, 2, dtype=torch.long), ValueError, r"got \(5, 2\): transpose it with .t\(\)"),
        (torch.zeros(3, 5, dtype=torch.long), ValueError, r"got \(3, 5\): stack sources and targets"),
        (torch.zeros(2, dtype=torch.long), ValueError, r"got \(2,\)"),
        (torch.zeros(2, 5, dtype=torch.long, device="meta"), ValueError, "is on meta and the nodes are on cpu"),
    ],
)
def test_what_is_no_edges_is_refused(edges, error, words):
    with pytest.raises(error, match=words):
        checked_edges(edges, CPU)


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
def test_nested_tensors_are_refused():
    with pytest.raises(TypeError, match=r"edge_index must be a dense .* got a nested one"):
        checked_edges(torch.nested.nested_tensor([torch.arange(3)] * 2), CPU)
    with pytest.raises(TypeError, match=r"x must be a dense .* got a nested one"):
        check_features(torch.nested.nested_tensor([torch.rand(3)] * 2), "x", 2)


def test_any_index_out_of_range_is_refused():
    draw = random.Random(0)
    for _ in range(200):
        m, n = draw.randint(1, 30), draw.randint(1, 30)
        edges = torch.stack([torch.randint(m, (20,)), torch.randint(n, (20,))])
        check_range(edges, m, n)
        row = draw.randrange(2)
        bad = draw.choice([-1, -(2**63), 2**40, 2**63 - 1, (m, n)[row]])
        edges[row, draw.randrange(20)] = bad
        with pytest.raises(
            IndexError, match=rf"source indices in \[0, {m}\) and target indices in \[0, {n}\), .*{bad}"
        ):
            check_range(edges, m, n)
    check_range(edges[:, :0], 0, 0)


def test_a_tensor_without_numbers_is_let_through():
    check_range(torch.zeros(2, 3, dtype=torch.long, device="meta"), 0, 0)
    with FakeTensorMode():
        edges = torch.zeros(2, 3, dtype=torch.long)
        assert is_symbolic(edges)
        check_range(edges, 0, 0)
    assert not is_symbolic(torch.zeros(1))


def test_features_are_dense_numbers():
    check_features(torch.rand(2, 3), "x", 2)
    for bad, error in [
        (torch.rand(3), ValueError),
        (torch.ones(2, 3, dtype=torch.long), TypeError),
        (torch.rand(2, 3).to_sparse(), TypeError),
        (torch.rand(2, 3, dtype=torch.complex64), TypeError),
        ([[1.0]], TypeError),
    ]:
        with pytest.raises(error, match=r"^x must"):
            check_features(bad, "x", 2)


def test_two_tensors_have_one_type_and_device():
    check_same(torch.rand(2), torch.rand(3), "x and y")
    for other in (torch.rand(2).double(), torch.rand(2, device="meta")):
        with pytest.raises(ValueError, match=r"x and y must have the same dtype and device, got torch.float32"):
            check_same(torch.rand(2), other, "x and y")


def test_an_address_is_that_of_what_native_code_reads():
    x = torch.rand(4, 6)
    assert address(x, torch.float32, (4, 6), "x") == x.data_ptr()
    assert address(x[1:], torch.float32, (3, 6), "x") == x.data_ptr() + 24
    address(x[:0], torch.float32, (0, 6), "x")
    for bad in (x.double(), x[:, :3], x.t(), x[None], x[:1].expand(4, 6), x.to("meta")):
        with pytest.raises(ValueError, match=r"x must be a contiguous tensor \(4, 6\) of torch.float32 on the CPU"):
            address(bad, torch.float32, (4, 6), "x")
    for bad in (freed(x), unaligned(x), torch._neg_view(x), torch._efficientzerotensor((4, 6))):
        with pytest.raises(ValueError, match="memory of x cannot be read"):
            address(bad, torch.float32, (4, 6), "x")
    with pytest.raises(TypeError, match="got list"):
        address([1.0], torch.float32, (1,), "x")


def test_results_lie_where_the_features_lie(monkeypatch):
    x, edges = torch.randn(9, 16), torch.randint(9, (2, 20))
    plain = max_relative(x.clone().requires_grad_(), x, edges).detach(), knn(x[None], x[None], 3)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            src = x.detach().requires_grad_()
            out = max_relative(src, x, edges)
            out.sum().backward()
            found = out.detach(), knn(x[None], x[None], 3)
    finally:
        torch.set_default_dtype(before)
    assert all(torch.equal(one, two) for one, two in zip(plain, found, strict=True))
    assert src.grad.dtype == torch.float32 and src.grad.isfinite().all()
