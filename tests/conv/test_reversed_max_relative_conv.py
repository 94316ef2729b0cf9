import pytest
import torch

from tests.conv import dense
from tests.conv.cases import OperatorLaws, graph, randomised
from vig_pyg.conv import MaxRelativeConv, ReversedMaxRelativeConv


def reversed_max_relative(state, x_i, x_j, heads):
    largest = (x_i - x_j).max(0).values
    interleaved = [value for pair in zip(x_i, largest, strict=True) for value in pair]
    return dense.mlp(state, "mlp", torch.stack(interleaved), heads)


class TestReversedMaxRelativeConv(OperatorLaws):
    operator_class = ReversedMaxRelativeConv
    equation = staticmethod(reversed_max_relative)


@pytest.mark.parametrize("channels", [8, 16, 48])  # the native kernel begins at 16
@pytest.mark.parametrize("pooled", [False, True])
def test_it_is_the_other_operator_on_negative_features(channels, pooled):
    conv = randomised(ReversedMaxRelativeConv(channels, 32))
    other = MaxRelativeConv(channels, 32).eval()
    weight = conv.mlp[0].weight.detach().clone()
    weight[:, ::2] *= -1
    other.load_state_dict({**conv.state_dict(), "mlp.0.weight": weight})
    x_dst, x_src = torch.randn(18, channels, requires_grad=True), torch.randn(7, channels)
    x, edges = ((x_src, x_dst), graph(7)) if pooled else (x_dst, graph())
    negative = (-x_src, -x_dst) if pooled else -x_dst
    one, two = conv(x, edges), other(negative, edges)
    torch.testing.assert_close(one, two)
    first, second = (torch.autograd.grad(out.square().sum(), x_dst)[0] for out in (one, two))
    torch.testing.assert_close(first, second)
