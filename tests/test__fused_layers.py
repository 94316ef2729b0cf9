import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.fake_gpu import fake_gpu, on_gpu
from tests.test_fuse import relative, settled
from vig_pyg import _fused_layers
from vig_pyg._fused_layers import FusedFFN, FusedLayer, FusedPosition
from vig_pyg.layers import MultiHeadLinear
from vig_pyg.position import PositionEmbedding


def test_slices_of_the_ffn_change_nothing(monkeypatch):
    fused = settled("vig_micro").fuse()
    images = torch.randn(4, 3, 32, 32)
    rows = []
    (ffn, *_) = (module for module in fused.modules() if isinstance(module, FusedFFN))
    ffn.fc1.register_forward_hook(lambda _, args, __: rows.append(args[0].size(0)))
    with torch.no_grad():
        whole = fused(images)
        nodes, rows[:] = rows[0], []
        monkeypatch.setattr("vig_pyg._fused_layers.HIDDEN_BUDGET", 20 * ffn.hidden_channels * 4)
        torch.testing.assert_close(fused(images), whole, rtol=1e-5, atol=1e-5)
    assert max(rows) <= 20 and sum(rows) == nodes == 256  # it was sliced


@pytest.mark.parametrize("heads", [1, 3, 0])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_layer_in_half_precision_is_the_layer(heads, gelu, dtype):
    """Each kind of layer by itself, so that no error hides behind another: one head, several, a convolution."""
    torch.manual_seed(0)
    layer = MultiHeadLinear(6, 12, heads=heads) if heads else nn.Conv2d(6, 12, 3, 2, 1)
    x = torch.randn(5, 6) if heads else torch.randn(2, 6, 5, 5)
    with torch.inference_mode():
        want = nn.functional.gelu(layer(x)) if gelu else layer(x)
        with torch.autocast(torch.get_default_device().type, dtype):
            got = FusedLayer(layer, gelu=gelu)(x)
    assert got.dtype == dtype and got.shape == want.shape
    assert 0 < relative(got, want) < 0.02


@pytest.mark.parametrize("heads", [1, 3, 0])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_bias_and_gelu_in_place_give_the_layer(heads, gelu, channels_last):
    """The way of GPUs, on a CPU."""
    layer = MultiHeadLinear(6, 12, heads=heads) if heads else nn.Conv2d(6, 12, 3, 2, 1)
    nn.init.normal_(layer.bias)
    x = torch.randn(5, 6) if heads else torch.randn(2, 6, 5, 5)
    if channels_last and not heads:
        x, layer = (part.to(memory_format=torch.channels_last) for part in (x, layer))
    with torch.inference_mode():
        want = nn.functional.gelu(layer(x)) if gelu else layer(x)
        torch.testing.assert_close(_fused_layers._in_place(x, layer, layer.weight, layer.bias, gelu), want)


@pytest.mark.parametrize("grad", [False, True])
def test_layers_of_a_fused_model_have_a_gradient_of_their_input(grad):
    layer, x = FusedLayer(MultiHeadLinear(6, 12).requires_grad_(False), gelu=True), torch.randn(5, 6)
    with torch.autocast(torch.get_default_device().type, torch.bfloat16):
        out = layer(x.requires_grad_(grad))
    assert out.requires_grad == grad


@pytest.mark.parametrize("size", [(4, 5), (6, 3)])
def test_the_position_embedding_keeps_the_type_of_the_map_on_a_gpu(size):
    embedding = PositionEmbedding(8, (4, 5))
    nn.init.normal_(embedding.weight)
    fused = FusedPosition(embedding)
    assert fused.weight is embedding.weight
    x = torch.randn(2, 8, *size)
    assert torch.equal(fused(x), embedding(x))
    with fake_gpu(None):
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            x, weights = torch.empty(2, 8, *size, dtype=dtype, device="cuda"), on_gpu(fused)
            assert weights(x).dtype == dtype  # with a gradient
            assert weights.requires_grad_(False)(x).dtype == dtype


def layers_of_all_kinds():
    """A layer and an input of each kind, with widths that divide no register."""
    nn.init.normal_((linear := nn.Linear(6, 21)).bias)
    heads, conv = MultiHeadLinear(6, 15, heads=3), nn.Conv2d(6, 10, 3, 2, 1)
    depthwise = nn.Conv2d(6, 6, 7, padding=3, groups=6)
    nodes, maps = torch.randn(5, 6), torch.randn(2, 6, 9, 8)
    return {
        "linear": (linear, nodes),
        "one node": (linear, nodes[:1]),
        "every other channel": (linear, torch.randn(5, 12)[:, ::2]),
        "transposed": (linear, torch.randn(6, 5).t()),
        "heads": (heads, nodes),
        "convolution": (conv, maps),
        "channels last": (conv, maps.to(memory_format=torch.channels_last)),
        "depthwise": (depthwise, maps.to(memory_format=torch.channels_last)),
    }


@pytest.mark.parametrize("kind", layers_of_all_kinds())
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_on_a_cpu_a_layer_and_its_gelu_are_one_call(kind, gelu, dtype, monkeypatch):
    torch.manual_seed(0)
    layer, x = layers_of_all_kinds()[kind]
    layer, x = layer.to(dtype), x.to(dtype)
    calls, run = [], _fused_layers._one_dnn
    monkeypatch.setattr(_fused_layers, "_one_dnn", lambda *args: calls.append(1) or run(*args))
    with torch.inference_mode():
        got, want = FusedLayer(layer, gelu=gelu)(x), nn.functional.gelu(layer(x)) if gelu else layer(x)
    torch.testing.assert_close(got, want)
    assert got.stride() == want.stride() or kind in ("heads", "one node")
    known = {torch.float32: _fused_layers.has_one_dnn, torch.bfloat16: _fused_layers._has_bfloat16}
    assert bool(calls) == known.get(dtype, lambda: False)()


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_modes_that_look_at_operators_and_a_switched_off_library_get_the_layer(monkeypatch):
    layer, x = FusedLayer(nn.Linear(6, 12), gelu=True).requires_grad_(False), torch.randn(5, 6)
    want = layer(x)
    monkeypatch.setattr(_fused_layers, "_one_dnn", None)  # a call would raise
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == 2 * 5 * 6 * 12
    with torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(layer(x), want)
    assert torch.func.vmap(layer)(x[None])[0].shape == want.shape
    with torch.enable_grad():
        assert layer(x.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("kind", ["linear", "heads", "convolution"])
def test_a_wrong_width_is_the_error_of_the_layer(kind):
    layer, x = layers_of_all_kinds()[kind]
    wrong = torch.cat([x, x], 1)
    said = []
    for one in (layer, FusedLayer(layer, gelu=True)):
        with torch.inference_mode(), pytest.raises((RuntimeError, ValueError)) as error:
            one(wrong)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("kind", ["linear", "heads", "convolution", "depthwise"])
@pytest.mark.parametrize("autocast", [False, True])
def test_hooks_of_a_layer_and_a_replaced_forward_are_called(kind, autocast):
    layer, x = layers_of_all_kinds()[kind]
    fused, seen = FusedLayer(layer, gelu=True), []
    hooks = [
        lambda: layer.register_forward_hook(lambda *_: seen.append("after")),
        lambda: layer.register_forward_pre_hook(lambda *_: seen.append("before")),
        lambda: nn.modules.module.register_module_forward_hook(lambda part, *_: seen.append(part is layer)),
    ]
    with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
        for hook in hooks:
            handle = hook()
            fused(x)
            handle.remove()
        assert seen == ["after", "before", True, False]
        layer.forward = lambda part: seen.append("own") or type(layer).forward(layer, part)
        fused(x)
    assert seen[-1] == "own"
