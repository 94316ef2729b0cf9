"""The kernels for GPUs: in Triton's interpreter where there is no GPU (`conftest.py` sees to that)."""

import pytest
import torch

from vig_pyg.ops import rows
from vig_pyg.ops._triton_max_relative import gather_max, scatter_winners

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def graph(num_src, degrees, *, seed=0):
    """Sources sorted by target, first edges, and the edges."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    degrees = torch.tensor(degrees)
    source = torch.randint(0, num_src, (int(degrees.sum()),), generator=generator)
    first = torch.nn.functional.pad(degrees.cumsum(0), (1, 0))
    edges = torch.stack([source, torch.arange(len(degrees)).repeat_interleave(degrees)])
    return source.to(DEVICE), first.to(DEVICE), edges


def by_hand(x_src, x_dst, edges):
    rows = []
    for i, x in enumerate(x_dst):
        neighbors = x_src[edges[0, edges[1] == i]]
        rows.append(neighbors.amax(0) - x if len(neighbors) else torch.zeros_like(x))
    return torch.stack([x_dst, torch.stack(rows)], 2).flatten(1)


@pytest.mark.parametrize("channels", [1, 16, 40, 70])
@pytest.mark.parametrize("degrees", [[3, 0, 1, 5], [9] * 20, [0], [1] * 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_forward_and_backward_equal_the_plain_way(channels, degrees, dtype):
    source, first, edges = graph(11, degrees)
    x_src, x_dst = torch.randn(11, channels).to(dtype), torch.randn(len(degrees), channels).to(dtype)
    out, slots = gather_max(x_src.to(DEVICE), x_dst.to(DEVICE), source, first, winners=True)
    # the interpreter cuts bfloat16 off where a GPU rounds
    rounding = 2**-7 if (DEVICE, dtype) == ("cpu", torch.bfloat16) else 0
    torch.testing.assert_close(out.to(x_dst.device), by_hand(x_src, x_dst, edges), rtol=rounding, atol=0)
    assert torch.equal(gather_max(x_src.to(DEVICE), x_dst.to(DEVICE), source, first, winners=False)[0], out)
    grad = torch.randn(out.shape).to(dtype)
    got = scatter_winners(grad.to(DEVICE), source, first, slots, 11)
    a, b = x_src.double().requires_grad_(), x_dst.double().requires_grad_()
    by_hand(a, b, edges).backward(grad.double())
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    no_edges = torch.zeros_like(a)
    for mine, theirs in zip(got, (no_edges if a.grad is None else a.grad, b.grad), strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine.double().to(theirs.device), theirs, **tolerance)


def test_a_tie_has_one_winner_the_first():
    source, first = torch.tensor([2, 0, 1]).to(DEVICE), torch.tensor([0, 3]).to(DEVICE)
    slots = gather_max(torch.ones(3, 16).to(DEVICE), torch.zeros(1, 16).to(DEVICE), source, first, winners=True)[1]
    assert slots.unique().tolist() == [0]


def test_nan_is_handed_on():
    x = torch.zeros(3, 16)
    x[1, 4] = torch.nan
    source, first = torch.tensor([0, 1, 2]).to(DEVICE), torch.tensor([0, 3]).to(DEVICE)
    out = gather_max(x.to(DEVICE), torch.zeros(1, 16).to(DEVICE), source, first, winners=False)[0].cpu()
    assert out.isnan().nonzero().tolist() == [[0, 9]]


@pytest.mark.parametrize("by_target", [False, True])
def test_rows_on_a_gpu(by_target):
    source, first, edges = graph(5, [2, 0, 3])
    got = rows.gpu_rows(edges.to(DEVICE), 5, 3, by_target)
    assert torch.equal(got[0], source)
    assert torch.equal(got[1], first)


def test_edges_in_any_order_are_sorted_and_checked():
    source, first, edges = graph(5, [2, 0, 3])
    got = rows.gpu_rows(edges[:, [4, 0, 2, 1, 3]].to(DEVICE), 5, 3, False)
    assert torch.equal(got[1], first)
    assert sorted(got[0][:2].tolist()) == sorted(source[:2].tolist())
    with pytest.raises(IndexError, match="sources below 5 and targets below 3"):
        rows.gpu_rows(torch.tensor([[0, 5], [0, 1]]).to(DEVICE), 5, 3, False)
    with pytest.raises(IndexError, match="sources below 5 and targets below 3"):
        rows.gpu_rows(torch.tensor([[0, -1], [0, 1]]).to(DEVICE), 5, 3, False)


@pytest.mark.skipif(DEVICE == "cuda", reason="there the program would stop")
def test_a_wrong_promise_is_found():
    with pytest.raises(RuntimeError, match="not sorted by target"):
        rows.gpu_rows(torch.tensor([[0, 0], [1, 0]]), 5, 3, True)


def test_a_source_that_does_not_exist_gives_nan_and_no_gradient():
    source, first = torch.tensor([0, 7, -1, 2]).to(DEVICE), torch.tensor([0, 1, 2, 3, 4]).to(DEVICE)
    out, slots = gather_max(torch.ones(3, 16).to(DEVICE), torch.zeros(4, 16).to(DEVICE), source, first, winners=True)
    assert out[:, 1::2].isnan().all(1).tolist() == [False, True, True, False]
    to_src, _ = scatter_winners(torch.ones(4, 32).to(DEVICE), source, first, slots, 3)
    assert to_src[:, 0].tolist() == [1, 0, 1]


def test_slots_of_other_edges_are_skipped():
    source, first = torch.tensor([0, 1]).to(DEVICE), torch.tensor([0, 1, 2]).to(DEVICE)
    slots = torch.full((2, 16), 300, dtype=torch.int16, device=DEVICE)
    assert scatter_winners(torch.ones(2, 32).to(DEVICE), source, first, slots, 3)[0].eq(0).all()


def test_other_shapes_are_refused():
    x, source, first = torch.ones(3, 16), torch.tensor([0]), torch.tensor([0, 0, 1])
    for arguments in ((x[:, :8], x[:2], source, first), (x, x[:2].double(), source, first), (x, x, source, first)):
        with pytest.raises(ValueError, match=r"must have one width|Rows of 3 targets"):
            gather_max(*(part.to(DEVICE) for part in arguments), winners=True)
    slots = torch.zeros(2, 16, dtype=torch.int16)
    for grad, slot in ((torch.ones(2, 31), slots), (torch.ones(3, 32), slots), (torch.ones(2, 32), slots.long())):
        with pytest.raises(ValueError, match="Slots"):
            scatter_winners(grad.to(DEVICE), source.to(DEVICE), first.to(DEVICE), slot.to(DEVICE), 3)
