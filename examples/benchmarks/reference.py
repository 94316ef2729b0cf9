"""Vision GNN as dense maps, written from the equations in the manner of the published code: the peer of the benchmarks.

Maps are `(B, C, N, 1)`, neighbors are gathered to `(B, C, N, k)`, distances are full tables with a table of relative
positions on top, everything runs eagerly. Tests use it as an oracle. Keys are those of the published weights, so that
`load_state_dict(weights.convert(model, "official"))` fills it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg import PyramidViGConfig, ViGConfig
from vig_pyg.models import ModelConfig


def conv_norm(in_channels: int, out_channels: int, groups: int = 1) -> nn.Sequential:
    """1x1 convolution and batch norm."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, groups=groups), nn.BatchNorm2d(out_channels))


def relative_position(channels: int, side: int, ratio: int) -> Tensor:
    """Table -2 P Pᵀ / C of the grid in float64, resized to pooled sources, `(1, n, m)` in float32."""
    omega = 10000.0 ** -(torch.arange(channels // 4, dtype=torch.float64) / (channels // 4))
    row, column = torch.meshgrid(*2 * [torch.arange(side, dtype=torch.float64)], indexing="ij")
    parts = [f(axis.reshape(-1, 1) * omega) for axis in (column, row) for f in (torch.sin, torch.cos)]
    codes = torch.cat(parts, dim=1)
    table = (-2 * codes @ codes.t() / channels).float()[None]
    if ratio > 1:
        table = F.interpolate(table[None], size=(side**2, side**2 // ratio**2), mode="bicubic")[0]
    return table


class GraphConv(nn.Module):
    """Max-Relative, gathered."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gconv = nn.Module()
        self.gconv.nn = nn.Sequential(*conv_norm(2 * channels, 2 * channels, groups=4), nn.GELU())

    def forward(self, x: Tensor, y: Tensor, neighbors: Tensor) -> Tensor:
        b, c, n, k = x.size(0), x.size(1), x.size(2), neighbors.size(2)
        y = y.squeeze(-1).transpose(1, 2)  # (B, C, M, 1) -> (B, M, C)
        offset = torch.arange(b, device=x.device).view(b, 1, 1) * y.size(1)
        x_j = y.reshape(-1, c)[(neighbors + offset).reshape(-1)].view(b, n, k, c).permute(0, 3, 1, 2).contiguous()
        x_i = x.expand(b, c, n, k)
        largest = (x_j - x_i).max(-1, keepdim=True).values
        return self.gconv.nn(torch.stack([x, largest], dim=2).reshape(b, 2 * c, n, 1))


class Grapher(nn.Module):
    """Table of distances, top-k, every dilation-th."""

    def __init__(
        self, channels: int, k: int, dilation: int, ratio: int, side: int, *, position: bool, autocast_search: bool
    ) -> None:
        super().__init__()
        self.k, self.dilation, self.ratio, self.autocast_search = k, dilation, ratio, autocast_search
        self.fc1 = conv_norm(channels, channels)
        self.graph_conv = GraphConv(channels)
        self.fc2 = conv_norm(2 * channels, channels)
        table = relative_position(channels, side, ratio) if position else None
        self.register_buffer("relative_pos", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.fc1(x)
        b, c, h, w = x.shape
        y = F.avg_pool2d(x, self.ratio) if self.ratio > 1 else x
        x, y = x.reshape(b, c, -1, 1), y.reshape(b, c, -1, 1)
        out = self.graph_conv(x, y, self.neighbors(x, y)).reshape(b, -1, h, w)
        return self.fc2(out) + shortcut

    @torch.no_grad()
    def neighbors(self, x: Tensor, y: Tensor) -> Tensor:
        if self.autocast_search:
            return self.nearest(x, y)
        with torch.autocast(x.device.type, enabled=False):
            x, y = (t.float() if t.dtype == torch.bfloat16 else t for t in (x, y))
            return self.nearest(x, y)

    def nearest(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = (F.normalize(t, dim=1).squeeze(-1).transpose(1, 2) for t in (x, y))  # (B, C, N, 1) -> (B, N, C)
        distance = x.square().sum(-1, keepdim=True) - 2 * torch.matmul(x, y.transpose(1, 2))
        distance = distance + y.square().sum(-1, keepdim=True).transpose(1, 2)
        if self.relative_pos is not None:
            distance = distance + self.relative_pos
        return (-distance).topk(self.k * self.dilation).indices[..., :: self.dilation]


class FFN(nn.Module):
    """Two 1x1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = conv_norm(channels, 4 * channels), nn.GELU(), conv_norm(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x))) + x


class Convolutions(nn.Module):
    """3x3 convolutions with batch norm, GELU between them."""

    def __init__(self, name: str, widths: list[int], strides: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, stride in enumerate(strides):
            layers += [nn.GELU()] * (i > 0)
            layers += [nn.Conv2d(widths[i], widths[i + 1], 3, stride, 1), nn.BatchNorm2d(widths[i + 1])]
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.name)(x)


class DenseReference(nn.Module):
    """The published network of a configuration, at its `image_size`, with Max-Relative.

    `autocast_search` is what the published code does: autocast reaches the products of the search, so that distances
    are rounded to its type. Without it the search takes float32, as ours does, and both find the same neighbors.
    """

    def __init__(self, config: ModelConfig, *, autocast_search: bool = False) -> None:
        super().__init__()
        pyramid = isinstance(config, PyramidViGConfig)
        assert pyramid or isinstance(config, ViGConfig)
        channels = config.channels if pyramid else (config.channels,)
        depths = config.depths if pyramid else (config.depth,)
        ratios = config.reduce_ratios if pyramid else (1,)
        c, side = channels[0], config.image_size // config.patch_size
        widths = [config.in_channels, c // 2, c, c] if pyramid else [config.in_channels, c // 8, c // 4, c // 2, c, c]
        self.stem = Convolutions("convs", widths, [2] * (len(widths) - 2) + [1])
        self.pos_embed = nn.Parameter(torch.zeros(1, c, side, side))
        neighbors, layers = iter(config.neighbors()), []
        search: dict[str, bool] = {"position": pyramid, "autocast_search": autocast_search}
        for s, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            layers += [Convolutions("conv", [channels[s - 1], width], [2])] if s else []
            layers += [
                nn.Sequential(Grapher(width, *next(neighbors), ratios[s], side >> s, **search), FFN(width))
                for _ in range(depth)
            ]
        self.backbone = nn.Sequential(*layers)
        self.prediction = nn.Sequential(
            *conv_norm(channels[-1], config.head_channels),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Conv2d(config.head_channels, config.num_classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.backbone(self.stem(images) + self.pos_embed)
        return self.prediction(F.adaptive_avg_pool2d(x, 1)).flatten(1)
