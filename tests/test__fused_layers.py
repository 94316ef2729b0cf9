import pytest
import torch
from torch import nn

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
