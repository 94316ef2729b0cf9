"""MobileViG and GreedyViG as straightforward dense networks: maps (B, C, H, W), 1x1 convolutions, rolls of the map.

Each neighbor is one `torch.roll` of the whole map, as MobileViG (arXiv 2307.00395) and GreedyViG (arXiv 2405.06849)
word their graphs. The names are those of the published weights, so `vig_pyg.weights.convert(model, "official")` fits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> list[nn.Module]:
    """A convolution and its batch norm."""
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs)]


def depthwise(width: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)


class Stem(nn.Module):
    """Two convolutions of stride 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.stem = nn.Sequential(*conv_norm(3, half, 3, 2), nn.GELU(), *conv_norm(half, width, 3, 2), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stem(x)
        return out


class Downsample(nn.Module):
    """A convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*conv_norm(inputs, outputs, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class MobileLocal(nn.Module):
    """The inverted residual of MobileViG."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.norm1 = conv_norm(width, 4 * width)
        self.mlp.mid, self.mlp.mid_norm = depthwise(4 * width, 3), nn.BatchNorm2d(4 * width)
        self.mlp.fc2, self.mlp.norm2 = conv_norm(4 * width, width)
        self.layer_scale_2 = nn.Parameter(torch.full((width, 1, 1), 1e-5))
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        m: Any = self.mlp
        y = self.act(m.norm1(m.fc1(x)))
        y = self.act(m.mid_norm(m.mid(y)))
        return x + self.layer_scale_2 * m.norm2(m.fc2(y))


class GreedyLocal(nn.Module):
    """The inverted residual of GreedyViG."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dws = nn.Module()
        self.dws.pw1, self.dws.norm1 = conv_norm(width, 4 * width)
        self.dws.dw, self.dws.norm2 = depthwise(4 * width, 3), nn.BatchNorm2d(4 * width)
        self.dws.pw2, self.dws.norm3 = conv_norm(4 * width, width)
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-5))
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        m: Any = self.dws
        y = self.act(m.norm1(m.pw1(x)))
        y = self.act(m.norm2(m.dw(y)))
        return x + self.layer_scale_2.view(-1, 1, 1) * m.norm3(m.pw2(y))


class Rolls(nn.Module):
    """MobileViG's graph convolution: the largest difference to the patches `hop`, 2 `hop`, ... steps away."""

    def __init__(self, width: int, hop: int) -> None:
        super().__init__()
        self.nn = nn.Sequential(*conv_norm(2 * width, 2 * width), nn.GELU())
        self.hop = hop

    def forward(self, x: Tensor) -> Tensor:
        largest = torch.zeros_like(x)
        for axis in (2, 3):
            for step in range(self.hop, x.size(axis), self.hop):
                largest = torch.maximum(largest, x - x.roll(step, axis))
        out: Tensor = self.nn(torch.cat([x, largest], 1))
        return out


class MaskedRolls(nn.Module):
    """GreedyViG's graph convolution: as `Rolls`, but only patches nearer than the threshold of the image count."""

    def __init__(self, width: int, hop: int) -> None:
        super().__init__()
        self.nn = nn.Sequential(*conv_norm(2 * width, width), nn.GELU())
        self.hop = hop

    def forward(self, x: Tensor) -> Tensor:
        half = -(-x.size(2) // 2), -(-x.size(3) // 2)
        far = (x - x.roll(half, (2, 3))).abs().sum(1, keepdim=True)
        limit = far.mean((2, 3), keepdim=True) - far.std((2, 3), keepdim=True)
        largest = torch.zeros_like(x)
        for axis in (2, 3):
            for step in range(self.hop, x.size(axis), self.hop):
                difference = x.roll(step, axis) - x
                near = difference.abs().sum(1, keepdim=True) < limit
                largest = torch.maximum(largest, difference * near)
        out: Tensor = self.nn(torch.cat([x, largest], 1))
        return out


class MobileGraph(nn.Sequential):
    """MobileViG's graph block: Grapher and FFN, each with a residual connection."""

    def __init__(self, width: int, hop: int) -> None:
        grapher, ffn = nn.Module(), nn.Module()
        grapher.fc1, grapher.fc2 = nn.Sequential(*conv_norm(width, width)), nn.Sequential(*conv_norm(2 * width, width))
        grapher.graph_conv = Rolls(width, hop)
        ffn.fc1, ffn.fc2 = nn.Sequential(*conv_norm(width, 4 * width)), nn.Sequential(*conv_norm(4 * width, width))
        super().__init__(grapher, ffn)
        self.act = (nn.GELU(),)

    def forward(self, x: Tensor) -> Tensor:
        grapher: Any = self[0]
        ffn: Any = self[1]
        x = x + grapher.fc2(grapher.graph_conv(grapher.fc1(x)))
        return x + ffn.fc2(self.act[0](ffn.fc1(x)))


class GreedyGraph(nn.Module):
    """GreedyViG's graph block: position encoding, Grapher and FFN with layer scales."""

    def __init__(self, width: int, hop: int) -> None:
        super().__init__()
        self.mixer = nn.Module()
        self.mixer.cpe = nn.Module()
        self.mixer.cpe.pe = depthwise(width, 7)
        self.mixer.fc1, self.mixer.fc2 = (nn.Sequential(*conv_norm(width, width)) for _ in range(2))
        self.mixer.graph_conv = MaskedRolls(width, hop)
        self.ffn = nn.Sequential(*conv_norm(width, 4 * width), nn.GELU(), *conv_norm(4 * width, width))
        self.layer_scale_1, self.layer_scale_2 = (nn.Parameter(torch.full((width,), 1e-5)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        mixer: Any = self.mixer
        y = mixer.fc2(mixer.graph_conv(mixer.fc1(mixer.cpe.pe(x) + x)))
        x = x + self.layer_scale_1.view(-1, 1, 1) * y
        return x + self.layer_scale_2.view(-1, 1, 1) * self.ffn(x)


class DenseFamily(nn.Module):
    """A MobileViG or GreedyViG of a configuration of this library, without distillation."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        widths, mobile = config.channels, type(config).__name__ == "MobileViGConfig"
        self.stem = Stem(widths[0])
        local, graph = (MobileLocal, MobileGraph) if mobile else (GreedyLocal, GreedyGraph)
        stages: list[list[nn.Module]] = []
        for s, width in enumerate(widths):
            blocks: list[nn.Module] = [Downsample(widths[s - 1], width)] if s else []
            blocks += [local(width) for _ in range(config.local_depths[s])]
            stages.append(blocks + [graph(width, config.hops[s]) for _ in range(config.graph_depths[s])])
        if mobile:  # one flat list, and the graph blocks of the last stage
            flat = [block for stage in stages for block in stage]
            self.local_backbone = nn.Sequential(*(block for block in flat if not isinstance(block, MobileGraph)))
            self.backbone = nn.Sequential(*(block for block in flat if isinstance(block, MobileGraph)))
        else:
            self.local_backbone = nn.Identity()
            self.backbone = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))
        hidden = config.head_channels
        self.prediction = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), *conv_norm(widths[-1], hidden), nn.GELU(), nn.Dropout(0)
        )
        self.head = nn.Conv2d(hidden, config.num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.backbone(self.local_backbone(self.stem(images)))
        logits: Tensor = self.head(self.prediction(maps))
        return logits[:, :, 0, 0]
