"""The convolutions that turn pixels into patches (`Stem`), and that halve the grid between stages (`Downsample`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vig_pyg.ops import batch_norm_gelu, is_transformed


def _conv_norm(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return [conv, nn.BatchNorm2d(out_channels)]


def run_layers(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply layers to maps in order; a batch norm and the GELU after it are computed together.

    Args:
        layers: Convolutions, batch norms and activations.
        x: Feature maps `(B, C, H, W)`.

    Shapes: `(B, C, H, W)` to `(B, C', H', W')`.

    Example:
        >>> run_layers(nn.Sequential(nn.BatchNorm2d(4), nn.GELU()), torch.zeros(1, 4, 2, 2)).abs().max().item()
        0.0
    """
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        if isinstance(layer, nn.BatchNorm2d):
            gelu = rest.pop(0) if rest and isinstance(rest[0], nn.GELU) else None
            x = batch_norm_gelu(x, layer, gelu)
        else:
            x = layer(x)
    return x


class Stem(nn.Sequential):
    """Turns an image into a map of patches by a sequence of overlapping 3x3 convolutions.

    The stem has one convolution of stride 2 for each factor 2 of `patch_size`, and a last one of stride 1. The widths
    double up to C: C/8, C/4, C/2, C, C for `patch_size=16`, and C/2, C, C for `patch_size=4`. A batch norm follows each
    convolution, and GELU follows all but the last (published code of Vision GNN, arXiv 2206.00272, appendix A).

    Args:
        in_channels: Number of image channels.
        out_channels: Width C of the patches.
        patch_size: Side length of a patch in pixels, which is the total stride; a power of two.
        last_conv: If false, the convolution of stride 1 is left out, and GELU follows every batch norm (MobileViG,
            arXiv 2307.00395).

    Shapes: `(B, in_channels, H, W)` to `(B, C, ⌈H / patch_size⌉, ⌈W / patch_size⌉)`.

    Raises:
        ValueError: If `patch_size` is not a power of two, or C is not divisible by `patch_size / 2`.

    Example:
        >>> Stem(3, 32, patch_size=4)(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 32, 8, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, *, patch_size: int, last_conv: bool = True) -> None:
        halvings = patch_size.bit_length() - 1
        if patch_size < 1 or patch_size != 2**halvings:
            raise ValueError(f"patch_size must be a power of two (1, 2, 4, 8, 16, ...), got {patch_size}.")
        if out_channels % 2 ** max(halvings - 1, 0):
            raise ValueError(f"A stem of patch_size={patch_size} needs channels divisible by {patch_size // 2}.")
        if not last_conv and halvings == 0:
            raise ValueError("A stem of patch_size=1 has only the last convolution: leave out last_conv=False.")
        widths = [out_channels // 2**i for i in reversed(range(halvings))] + [out_channels] * last_conv
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            last = last_conv and i == len(widths) - 1
            layers += _conv_norm(in_channels, width, stride=1 if last else 2)
            layers += [] if last else [nn.GELU()]
            in_channels = width
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        # In channels-last memory format, the nodes are a view of the map. Transforms of `torch.func` do not support
        # memory formats.
        return run_layers(self, x if is_transformed() else x.contiguous(memory_format=torch.channels_last))


class Downsample(nn.Sequential):
    """Halves the grid between two stages by a 3x3 convolution of stride 2 and a batch norm.

    Args:
        in_channels: Width of the previous stage.
        out_channels: Width of the next stage.

    Shapes: `(B, in_channels, H, W)` to `(B, out_channels, ⌈H / 2⌉, ⌈W / 2⌉)`.

    Example:
        >>> Downsample(8, 16)(torch.rand(1, 8, 7, 7)).shape
        torch.Size([1, 16, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(*_conv_norm(in_channels, out_channels, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return run_layers(self, x)
