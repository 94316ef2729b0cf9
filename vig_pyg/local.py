"""Layers that mix neighboring cells of the patch grid by depthwise convolutions; like graph layers, they process nodes.

Shapes: N nodes in raster order, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vig_pyg.data import BatchLayout, map_images, to_maps
from vig_pyg.layers import DropPath, LayerScale, LinearNorm, multi_head_mlp
from vig_pyg.stem import run_layers


def on_maps(function: Callable[[Tensor], Tensor], x: Tensor, layout: BatchLayout) -> Tensor:
    """Apply a function of feature maps to nodes, and return nodes of the same grid.

    Args:
        function: A function from `(B, C, H, W)` to `(B, C', H, W)`.
        x: Node features `(N, C)` in raster order.
        layout: Layout of the nodes, which must be grids.

    Shapes: `(N, C)` to `(N, C')`.

    Raises:
        ValueError: If the nodes are a point set without a grid.

    Example:
        >>> on_maps(lambda maps: maps.flip(-1), torch.arange(4.0).view(4, 1), BatchLayout.from_sizes([(2, 2)])).T
        tensor([[1., 0., 3., 2.]])
    """
    maps = map_images(function, to_maps(x, layout))
    if isinstance(maps, Tensor):
        return maps.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C', H, W) -> (N, C')
    return torch.cat([one.permute(1, 2, 0).flatten(0, 1) for one in maps])  # (C', H, W) -> (H W, C')


class ConditionalPosition(nn.Module):
    r"""Adds to each patch a weighted sum of the patches around it, which encodes its position.

    .. math:: y = x + \mathrm{DWConv}(x)

    (conditional position encoding, CPVT, arXiv 2102.10882; GreedyViG, arXiv 2405.06849).

    Args:
        channels: Width C of the nodes.
        kernel_size: Side length of the window in patches, odd; the published value is 7.

    Shapes: `x (N, C)` and its layout to `(N, C)`.

    Raises:
        ValueError: If `kernel_size` is not odd and positive, or the nodes are a point set without a grid.

    Example:
        >>> ConditionalPosition(8)(torch.rand(6, 8), BatchLayout.from_sizes([(2, 3)])).shape
        torch.Size([6, 8])
    """

    def __init__(self, channels: int, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"The kernel of a position encoding must be odd and positive, got {kernel_size}.")
        self.conv = _depthwise(channels, kernel_size)
        self.adds_input = True

    @torch.no_grad()
    def fold(self) -> None:
        """Fold the addition of the input into the convolution, by adding 1 at the center of its kernels."""
        if self.adds_input:
            self.conv.weight[:, 0, self.conv.kernel_size[0] // 2, self.conv.kernel_size[1] // 2] += 1
            self.adds_input = False

    def forward(self, x: Tensor, layout: BatchLayout) -> Tensor:
        out = on_maps(self.conv, x, layout)
        return x + out if self.adds_input else out


class InvertedResidual(nn.Module):
    r"""A convolutional block on the patch grid, with a residual connection.

    .. math:: x + \gamma \odot \mathrm{BN}\big(W_2\,\sigma(\mathrm{BN}(\mathrm{DWConv}(\sigma(\mathrm{BN}(W_1 x)))))
        \big), \quad \sigma = \mathrm{GELU}

    (MobileNetV2, arXiv 1801.04381, section 3.3, with the activation and the factors of MobileViG, arXiv 2307.00395).

    Args:
        channels: Width C of the nodes.
        hidden_channels: Width of the hidden layer; the published models use 4 C.
        drop_path: Probability of stochastic depth for the residual branch, in [0, 1).
        layer_scale: Initial value of the factors of the branch (see `LayerScale`), or `None` for no factors.

    Shapes: `x (N, C)` and its layout to `(N, C)`.

    Raises:
        ValueError: If the nodes are a point set without a grid.

    Example:
        >>> InvertedResidual(8, 32)(torch.rand(6, 8), BatchLayout.from_sizes([(2, 3)])).shape
        torch.Size([6, 8])
    """

    def __init__(
        self, channels: int, hidden_channels: int, *, drop_path: float = 0.0, layer_scale: float | None = 1e-5
    ) -> None:
        super().__init__()
        self.fc1 = multi_head_mlp(channels, hidden_channels, heads=1)
        self.conv = nn.Sequential(_depthwise(hidden_channels, 3), nn.BatchNorm2d(hidden_channels), nn.GELU())
        self.fc2 = LinearNorm(hidden_channels, channels)
        self.scale = None if layer_scale is None else LayerScale(channels, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, layout: BatchLayout) -> Tensor:
        hidden = on_maps(lambda maps: run_layers(self.conv, maps), self.fc1(x), layout)
        out = self.fc2(hidden)
        return x + self.drop_path(out if self.scale is None else self.scale(out), layout.batch, layout.num_graphs)


def _depthwise(channels: int, kernel_size: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
