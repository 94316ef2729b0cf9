import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from vig_pyg.layers import LinearNorm, MultiHeadLinear, multi_head_mlp
from vig_pyg.ops import has_own_numbers, linear_norm, mlp, readable_heads


class Own(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Same(nn.Linear):
    """A subclass without methods of its own; tools may tell by the type what they do to its weights."""


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


class Weight(torch.Tensor):
    """A weight of another class, as quantization and sharding put in the place of a plain one."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs or {})
        return 2 * found.as_subclass(torch.Tensor) if func is nn.functional.linear else found


def with_forward(layer):
    layer.forward = lambda x: 2 * nn.Linear.forward(layer, x)
    return layer


def with_weight(layer):
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Weight), requires_grad=False)
    return layer


def with_bias(layer):
    layer.bias = nn.Parameter(layer.bias.detach().as_subclass(Weight), requires_grad=False)
    return layer


def parametrized(layer):
    parametrize.register_parametrization(layer, "weight", Doubled())
    return layer


def quantized(layer):
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.Linear}, dtype=torch.qint8)[0]


#: Each takes an `nn.Linear` of two widths and returns a layer whose weights must not be read.
CHANGES = {
    "subclass": lambda layer: Own(*layer.weight.t().shape),
    "quiet subclass": lambda layer: Same(*layer.weight.t().shape),
    "without bias": lambda layer: nn.Linear(*layer.weight.t().shape, bias=False),
    "forward": with_forward,
    "weight": with_weight,
    "bias": with_bias,
    "parametrized": parametrized,
    "quantized": quantized,
    "low rank": lambda layer: nn.Sequential(layer, nn.Identity()),
}
if torch.get_default_device().type != "cpu":
    del CHANGES["quantized"]  # torch quantizes on CPUs alone


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", ["first", "second", "alone"])
def test_layers_that_a_tool_replaced_are_called(change, which):
    torch.manual_seed(0)
    layers = nn.ModuleList([multi_head_mlp(16, 32, 1), LinearNorm(32, 16), LinearNorm(16, 24)]).train()
    parent, x, calls = layers[("first", "second", "alone").index(which)], torch.randn(40, 16), []
    layer = parent[0] = CHANGES[change](parent[0])
    assert readable_heads(layer) == 0
    place = layer if change == "forward" else type(layer)
    original = place.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "forward", lambda *args: calls.append(layer) or original(*args))
        out = linear_norm(x, *layers[2]) if which == "alone" else mlp(x, layers[0], layers[1])
    assert layer in calls and out.isfinite().all()


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_heads_of_plain_layers(heads):
    layer = MultiHeadLinear(8, 16, heads=heads)
    assert readable_heads(layer) == heads
    assert readable_heads(nn.Linear(8, 16)) == readable_heads(nn.Linear(8, 16).bfloat16()) == 1
    with_hook = nn.Linear(8, 16)
    prune.l1_unstructured(with_hook, "weight", 0.5)  # its weight is a tensor that a hook makes: `can_recompute` looks
    assert readable_heads(with_hook) == 1 and with_hook._forward_pre_hooks
    for other in (nn.GELU(), nn.Conv2d(8, 16, 1), nn.Bilinear(8, 8, 16), nn.LazyLinear(16), LinearNorm(8, 16)):
        assert readable_heads(other) == 0
    assert has_own_numbers(nn.Conv2d(8, 16, 1)) and not has_own_numbers(nn.GELU())
