import pytest
import torch

from tests.ops.common import same
from vig_pyg.layers import MultiHeadLinear
from vig_pyg.ops import grouped_linear
from vig_pyg.ops.grouped_linear import grouped, grouped_gradients, multi_head_linear


@pytest.mark.parametrize("heads", [2, 4])
def test_grouped_linear_has_the_gradients_of_its_heads(heads):
    same(MultiHeadLinear(16, 32, heads=heads), torch.randn(30, 16), lambda m, x: m(x))
    x = torch.randn(7, 8, dtype=torch.float64, requires_grad=True)
    layer = MultiHeadLinear(8, 12, heads=heads).double()
    torch.autograd.gradcheck(layer, x)
    torch.autograd.gradgradcheck(layer, x)


@pytest.mark.parametrize("heads", [2, 3, 4])
@pytest.mark.parametrize("rows", [1, 7, 33])
def test_products_into_the_rows_are_those_of_the_heads(heads, rows, monkeypatch):
    """The way of GPUs, on a CPU."""
    x, weight = torch.randn(rows, 12 * heads).double(), torch.randn(8 * heads, 12).double()
    grad = torch.randn(rows, 8 * heads).double()
    want, gradients = grouped(x, weight, None, heads), grouped_gradients(grad, x, weight, heads)
    parts, weights = x.view(rows, heads, 12).transpose(0, 1), weight.view(heads, 8, 12).transpose(1, 2)
    found = grouped_linear._products_in_place(parts, weights)
    assert found.is_contiguous()
    torch.testing.assert_close(found, want)
    monkeypatch.setattr(grouped_linear, "_products", grouped_linear._products_in_place)
    for one, two in zip(grouped_gradients(grad, x, weight, heads), gradients, strict=True):
        assert one.is_contiguous()
        torch.testing.assert_close(one, two)


def test_a_batch_of_functions_takes_the_plain_way():
    """torch.func cannot look into an autograd function."""
    x, weight, bias = torch.randn(3, 5, 8), torch.randn(6, 4), torch.randn(6)
    found = torch.func.vmap(lambda part: multi_head_linear(part, weight, bias, 2))(x)
    torch.testing.assert_close(found, torch.stack([multi_head_linear(part, weight, bias, 2) for part in x]))


@pytest.mark.parametrize("heads", [2, 3, 4])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_one_product_of_all_heads_has_their_gradients(heads, rows):
    x, grad = torch.randn(rows, 6 * heads).double(), torch.randn(rows, 10 * heads).double()
    weight = torch.randn(10 * heads, 6).double()
    want = grouped_gradients(grad, x, weight, heads)[1]
    found = grouped_linear._weight_gradient_of_many(grad, x, heads)
    assert found.shape == want.shape == weight.shape
    torch.testing.assert_close(found, want)
