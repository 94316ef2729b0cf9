import pytest
import torch
from torch import nn

from tests.ops.common import same
from vig_pyg.layers import FFN, LinearNorm, multi_head_mlp
from vig_pyg.ops import TiledMLP, mlp, tiled
from vig_pyg.ops._recomputed_branch import RecomputedBranch
from vig_pyg.ops.tiled import is_worth_tiling

MANY = 32 * tiled.ROWS_A_CHANNEL + 7  # for 32 channels, not a multiple of anything


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("size", [2**12, 2**17, tiled.BYTES])
def test_equals_the_plain_layers_in_float64(monkeypatch, heads, size):
    monkeypatch.setattr(tiled, "BYTES", size)
    layers = nn.ModuleList([multi_head_mlp(32, 64, heads), LinearNorm(64, 16)])
    nn.init.uniform_(layers[0][1].weight, 0.5, 1.5)
    nn.init.normal_(layers[0][1].bias)
    x = torch.randn(MANY, 32) * torch.linspace(0.1, 3, 32) + torch.randn(32)
    passes = same(layers, x, lambda m, x: mlp(x, *m), atol=1e-4)
    assert passes[1] is TiledMLP._backward_cls


def test_channels_far_from_zero_keep_their_variance():
    torch.manual_seed(0)
    layers = nn.ModuleList([multi_head_mlp(32, 64, 1), LinearNorm(64, 16)])
    same(layers, 100 + torch.randn(MANY, 32), lambda m, x: mlp(x, *m), atol=1e-4)


def test_few_nodes_go_at_once():
    assert is_worth_tiling(torch.empty(MANY, 32), torch.float32)
    assert not is_worth_tiling(torch.empty(MANY, 64), torch.float32)
    assert not is_worth_tiling(torch.empty(MANY, 32), torch.bfloat16)
    layers = multi_head_mlp(64, 64, 1), LinearNorm(64, 16)
    out = mlp(torch.randn(MANY, 64, requires_grad=True), *layers)
    assert type(out.grad_fn) is RecomputedBranch._backward_cls


def test_little_is_kept():
    ffn, x = FFN(32, 128), torch.randn(MANY, 32, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ffn(x, torch.zeros(MANY, dtype=torch.long), 1)
    assert sum(t.numel() for t in kept) < 3 * x.numel()
