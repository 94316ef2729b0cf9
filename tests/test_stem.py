import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vig_pyg.stem import Downsample, Stem
from vig_pyg.testing import assert_parameters_get_gradients


def convolutions(stem):
    return [(m.in_channels, m.out_channels, m.stride[0]) for m in stem.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("patch_size", "widths"),
    [
        (16, [(3, 24, 2), (24, 48, 2), (48, 96, 2), (96, 192, 2), (192, 192, 1)]),
        (8, [(3, 48, 2), (48, 96, 2), (96, 192, 2), (192, 192, 1)]),
        (4, [(3, 96, 2), (96, 192, 2), (192, 192, 1)]),
        (2, [(3, 192, 2), (192, 192, 1)]),
        (1, [(3, 192, 1)]),
    ],
)
def test_convolutions_are_the_published_ones(patch_size, widths):
    assert convolutions(Stem(3, 192, patch_size=patch_size)) == widths


@pytest.mark.parametrize("patch_size", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("size", [(32, 32), (17, 40), (16, 31)])
def test_map_has_a_cell_for_each_patch_begun(patch_size, size):
    out = Stem(2, 16, patch_size=patch_size)(torch.rand(1, 2, *size))
    assert out.shape == (1, 16, *(-(-side // patch_size) for side in size))


def test_stem_is_its_equation():
    stem, images = Stem(3, 16, patch_size=4).eval(), torch.rand(2, 3, 16, 16)
    first, second, third = (module for module in stem if isinstance(module, nn.Conv2d))
    norm = (1 + 1e-5) ** -0.5
    want = third(F.gelu(second(F.gelu(first(images) * norm)) * norm)) * norm
    torch.testing.assert_close(stem(images), want)


@pytest.mark.parametrize("module", [Stem(3, 16, patch_size=4), Downsample(3, 16)])
def test_every_parameter_gets_a_gradient(module):
    assert assert_parameters_get_gradients(module, torch.rand(2, 3, 16, 16)) > 0


@pytest.mark.parametrize("patch_size", [0, 3, 12, -4])
def test_patch_size_must_be_a_power_of_two(patch_size):
    with pytest.raises(ValueError, match=rf"power of two \(1, 2, 4, 8, 16, ...\), got {patch_size}"):
        Stem(3, 64, patch_size=patch_size)


def test_width_must_be_halved_often_enough():
    with pytest.raises(ValueError, match="patch_size=16 needs channels divisible by 8"):
        Stem(3, 20, patch_size=16)


@pytest.mark.parametrize(("size", "want"), [((8, 8), (4, 4)), ((7, 5), (4, 3)), ((1, 1), (1, 1))])
def test_downsample_halves_the_grid(size, want):
    downsample = Downsample(8, 16)
    assert downsample(torch.rand(2, 8, *size)).shape == (2, 16, *want)
    assert convolutions(downsample) == [(8, 16, 2)]


def test_downsample_is_convolution_and_norm():
    downsample, x = Downsample(4, 8).eval(), torch.rand(1, 4, 6, 6)
    want = F.conv2d(x, downsample[0].weight, stride=2, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(downsample(x), want)


def test_hooks_see_every_layer_in_training():
    stem, seen = Stem(3, 32, patch_size=4), []
    for layer in stem:
        layer.register_forward_hook(lambda module, *_: seen.append(type(module).__name__))
    stem(torch.rand(2, 3, 16, 16))
    assert seen == [type(layer).__name__ for layer in stem]


def test_a_step_equals_the_plain_one_in_float64():
    torch.manual_seed(0)
    stem = Stem(3, 32, patch_size=4)
    exact, x = copy.deepcopy(stem).double(), torch.rand(2, 3, 16, 16)
    for module, dtype in ((stem, torch.float32), (exact, torch.float64)):
        (module(x.to(dtype)) * torch.linspace(-1, 1, 4, dtype=dtype)).sum().backward()
    for (name, found), want in zip(stem.named_parameters(), exact.parameters(), strict=True):
        size = float(want.grad.abs().max()) + 1
        torch.testing.assert_close(found.grad.double(), want.grad, rtol=1e-4, atol=1e-4 * size, msg=name)


def test_without_the_last_convolution_gelu_follows_every_norm():
    stem = Stem(3, 42, patch_size=4, last_conv=False)
    assert convolutions(stem) == [(3, 21, 2), (21, 42, 2)]
    assert [type(layer) for layer in stem] == [nn.Conv2d, nn.BatchNorm2d, nn.GELU] * 2
    with pytest.raises(ValueError, match="has only the last convolution"):
        Stem(3, 42, patch_size=1, last_conv=False)
