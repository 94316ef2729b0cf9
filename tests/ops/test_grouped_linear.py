import pytest
import torch

from tests.ops.common import same
from vig_pyg.layers import MultiHeadLinear


@pytest.mark.parametrize("heads", [2, 4])
def test_grouped_linear_has_the_gradients_of_its_heads(heads):
    same(MultiHeadLinear(16, 32, heads=heads), torch.randn(30, 16), lambda m, x: m(x))
    x = torch.randn(7, 8, dtype=torch.float64, requires_grad=True)
    layer = MultiHeadLinear(8, 12, heads=heads).double()
    torch.autograd.gradcheck(layer, x)
    torch.autograd.gradgradcheck(layer, x)
