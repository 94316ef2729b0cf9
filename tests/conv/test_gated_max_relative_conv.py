import pytest
import torch

from tests.conv import dense
from tests.conv.cases import OperatorLaws, graph, randomised
from vig_pyg.conv import GatedMaxRelativeConv, MaxRelativeConv


def gated_max_relative(state, x_i, x_j, heads):
    difference = x_j - x_i
    temperature = state["log_temperature"].exp() * x_i.numel()
    gate = torch.exp(-difference.abs().sum(1, keepdim=True) / temperature)
    largest = (gate * difference).max(0).values
    interleaved = [value for pair in zip(x_i, largest, strict=True) for value in pair]
    return dense.mlp(state, "mlp", torch.stack(interleaved), heads)


class TestGatedMaxRelativeConv(OperatorLaws):
    operator_class = GatedMaxRelativeConv
    equation = staticmethod(gated_max_relative)


@pytest.mark.parametrize("channels", [8, 16, 48])
@pytest.mark.parametrize("pooled", [False, True])
def test_with_a_high_temperature_it_is_the_plain_operator(channels, pooled):
    conv = randomised(GatedMaxRelativeConv(channels, 32, temperature=1e9))
    conv.log_temperature.data.fill_(30.0)
    plain = MaxRelativeConv(channels, 32).eval()
    plain.load_state_dict({key: value for key, value in conv.state_dict().items() if key != "log_temperature"})
    x_dst, x_src = torch.randn(18, channels), torch.randn(7, channels)
    x, edges = ((x_src, x_dst), graph(7)) if pooled else (x_dst, graph())
    torch.testing.assert_close(conv(x, edges), plain(x, edges))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_temperature_is_learned_and_begins_with_the_option(temperature):
    conv = GatedMaxRelativeConv(8, 16, temperature=temperature)
    torch.testing.assert_close(conv.log_temperature.exp(), torch.tensor([temperature]))
    conv(torch.randn(18, 8), graph()).square().sum().backward()
    assert conv.log_temperature.grad.abs() > 0
    conv.log_temperature.data.zero_()
    conv.reset_parameters()
    torch.testing.assert_close(conv.log_temperature.exp(), torch.tensor([temperature]))


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), float("nan")])
def test_other_temperatures_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        GatedMaxRelativeConv(8, 16, temperature=temperature)
