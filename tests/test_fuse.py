import pytest
import torch
from torch import nn

from vig_pyg import create_model
from vig_pyg.conv import CONVS
from vig_pyg.fuse import fuse


def settled(name, **options):
    """A model whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=10, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return model.eval()


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("conv", CONVS)
def test_outputs_stay(name, conv):
    model = settled(name, conv=conv).double()
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(model.fuse()(images), model(images), rtol=1e-9, atol=1e-10)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_no_batch_norm_is_left_and_nothing_can_be_trained():
    fused = settled("pvig_micro").fuse()
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in fused.modules())
    assert not any(p.requires_grad for p in fused.parameters())
    assert not fused.training


@pytest.mark.parametrize("conv", ["edge", "sage"])
def test_fused_operators_make_no_messages(conv, monkeypatch):
    fused = settled("vig_micro", conv=conv).fuse()
    for grapher in fused.graphers():
        monkeypatch.setattr(grapher.conv, "message", None)
    with torch.no_grad():
        assert fused(torch.randn(2, 3, 32, 32)).isfinite().all()


def relative(got, want):
    return float((got.float() - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_bfloat16_autocast_gives_the_logits(name):
    """On a graph of places alone: neighbors by features would turn on rounding."""
    model = settled(name, graph="grid")
    fused, images = model.fuse(), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        want = model(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            got, unfused = fused(images), model(images)
    assert got.dtype == unfused.dtype == torch.bfloat16
    assert 0 < relative(got, want) < 0.05 > relative(unfused, want)


def test_the_function_takes_any_module():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(fuse(module)(x), module(x))


class Doubled(nn.Conv2d):
    """A layer of somebody's own."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, stride=2, dilation=2),
        Doubled(3, 4, 3),
    ],
)
def test_convolutions_of_any_kind_stay_what_they_are_under_autocast(layer):
    module, x = nn.Sequential(layer, nn.BatchNorm2d(4), nn.GELU()).eval(), torch.randn(2, 3, 9, 9)
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        torch.testing.assert_close(fuse(module)(x), module(x), rtol=0.05, atol=0.05)
