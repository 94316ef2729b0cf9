import pytest
import torch

from vig_pyg.ops import edge_max


def by_hand(messages, target, num_dst):
    """Row by row; of equal messages the first one."""
    rows = []
    for i in range(num_dst):
        mine = messages[target == i]
        rows.append(mine.gather(0, mine.max(0, keepdim=True).indices)[0] if len(mine) else mine.new_zeros(mine.size(1)))
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("seed", range(8))
def test_the_largest_and_its_gradient(dtype, seed):
    """Few values, so that most maxima are tied; targets in any order, some without messages."""
    torch.manual_seed(seed)
    messages = torch.randint(-2, 2, (40, 5)).to(dtype).requires_grad_()
    target = torch.randint(0, 15, (40,))
    weight = torch.randn(15, 5).to(dtype)
    found = []
    for way in (edge_max, by_hand):
        out = way(messages, target, 15)
        found.append((out, torch.autograd.grad((out * weight).sum(), messages)[0]))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert torch.equal(edge_max(messages.detach(), target, 15), found[0][0])


def test_nan_and_infinity():
    messages = torch.tensor([[1.0], [torch.nan], [torch.inf], [-torch.inf], [3.0], [torch.inf]], requires_grad=True)
    out = edge_max(messages, torch.tensor([0, 0, 1, 2, 1, 1]), 3)
    assert out[0].isnan() and out[1:].flatten().tolist() == [torch.inf, -torch.inf]
    assert torch.autograd.grad(out[1:].sum(), messages)[0].flatten().tolist() == [0, 0, 1, 1, 0, 0]


def test_no_messages_give_zero():
    messages = torch.zeros(0, 4, requires_grad=True)
    out = edge_max(messages, torch.zeros(0, dtype=torch.long), 3)
    assert out.shape == (3, 4) and not out.any()
    assert torch.autograd.grad(out.sum(), messages)[0].shape == (0, 4)


def test_gradients_are_deterministic_where_torch_must_be():
    torch.use_deterministic_algorithms(True)
    try:
        messages = torch.randn(20, 3, requires_grad=True)
        edge_max(messages, torch.randint(0, 4, (20,)), 4).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert messages.grad.sum() > 0


def test_it_can_be_differentiated_twice():
    messages = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    target = torch.arange(12) % 4
    assert torch.autograd.gradgradcheck(lambda m: edge_max(m, target, 4).pow(3), messages)
