"""Segmentation heads on the four feature maps of a pyramid.

The heads use group norm instead of batch norm. Therefore an image does not depend on the other images of its batch,
also in training, and small batches on each GPU can be used.

Shapes: B images, C_s channels and H_s x W_s cells of stage s, finest stage first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from vig_pyg.ops import is_open

#: Sides of the grids to which UPerNet pools the last map.
POOL_SIZES = (1, 2, 3, 6)
#: Smallest width of a head. Even if a map has a single cell, a group norm needs several values for each group.
MIN_CHANNELS = 4


def group_norm(channels: int) -> nn.GroupNorm:
    """Create a group norm with at most 32 groups of at least four channels each, if the number of channels allows it.

    Example:
        >>> [group_norm(channels).num_groups for channels in (256, 96, 16, 18)]
        [32, 16, 4, 2]
    """
    groups = 32
    while channels % groups or (groups > 1 and channels // groups < MIN_CHANNELS):
        groups //= 2
    return nn.GroupNorm(groups, channels)


_conv: Callable[..., nn.Module] = partial(Conv2dNormActivation, norm_layer=group_norm)


def resize_map(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a map `(B, C, h, w)` bilinearly.

    Example:
        >>> resize_map(torch.rand(1, 8, 4, 5), (8, 10)).shape
        torch.Size([1, 8, 8, 10])
    """
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)


class SemanticFPN(nn.Module):
    """The head of Semantic FPN: the maps of a feature pyramid are upsampled step by step to the finest size, and added.

    The map of stage s passes s - 1 steps of a 3x3 convolution, group norm, ReLU and upsampling to the size of the next
    finer map (stage 1: one convolution without upsampling). Panoptic Feature Pyramid Networks (arXiv 1901.02446,
    section 3.2).

    Args:
        in_channels: Number of channels of each map.
        num_classes: Number of classes.
        out_channels: Number of channels of the feature pyramid.
        head_channels: Number of channels of the upsampled maps.
        dropout: Dropout probability of whole channels before the classifier.

    Shapes: maps `(B, C_s, H_s, W_s)` to logits `(B, num_classes, H_1, W_1)`.

    Raises:
        ValueError: If `out_channels` or `head_channels` is too small for the group norms.

    Example:
        >>> head = SemanticFPN([8, 16], num_classes=3, out_channels=16, head_channels=16)
        >>> head([torch.rand(1, 8, 9, 7), torch.rand(1, 16, 5, 4)]).shape
        torch.Size([1, 3, 9, 7])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        out_channels: int = 256,
        head_channels: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check_widths(out_channels, head_channels)
        self.fpn = FeaturePyramidNetwork(list(in_channels), out_channels)
        self.branches = nn.ModuleList(
            nn.Sequential(*[_conv(head_channels if i else out_channels, head_channels) for i in range(max(1, stage))])
            for stage in range(len(in_channels))
        )
        self.classifier = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(head_channels, num_classes, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        pyramid = list(self.fpn({str(stage): x for stage, x in enumerate(maps)}).values())
        sizes = [x.shape[2:] for x in pyramid]
        total: Tensor | None = None
        for stage, (x, branch) in enumerate(zip(pyramid, self.branches, strict=True)):
            for i, conv in enumerate(cast(nn.Sequential, branch)):
                x = conv(x)
                x = resize_map(x, sizes[stage - 1 - i]) if stage else x
            total = x if total is None else total + x
        logits: Tensor = self.classifier(total)
        return logits


def pool_map(x: Tensor, side: int) -> Tensor:
    """Average a feature map `(B, C, H, W)` over a grid of `side` x `side` regions, as `F.adaptive_avg_pool2d` does.

    When a program for maps of any size is exported, the means are computed as matrix products, because the ONNX
    exporter cannot translate adaptive pooling for such maps.

    Example:
        >>> pool_map(torch.tensor([[[[1.0, 2.0, 6.0]]]]), 1).tolist()
        [[[[3.0]]]]
    """
    height, width = x.shape[2:]
    if not is_open(height, width):
        return F.adaptive_avg_pool2d(x, side)
    # (side, H) @ (B, C, H, W) @ (W, side)
    return _shares(height, side, like=x) @ x @ _shares(width, side, like=x).T


def _shares(cells: int, side: int, like: Tensor) -> Tensor:
    """Return the share of each of `cells` cells in the mean of each region, `(side, cells)`."""
    region, cell = torch.arange(side, device=like.device)[:, None], torch.arange(cells, device=like.device)
    first, end = region * cells // side, ((region + 1) * cells + side - 1) // side
    inside = ((cell >= first) & (cell < end)).to(like.dtype)
    return inside / (end - first)


class UPerHead(nn.Module):
    """The head of UPerNet: a pooled pyramid on the last map, a feature pyramid, and the fusion of all its maps.

    Unified Perceptual Parsing (arXiv 1807.10221, figure 4). *Differs:* group norm instead of batch norm, and the
    feature pyramid is torchvision's, which has no ReLU and upsamples with nearest neighbors.

    Args:
        in_channels: Number of channels of each map.
        num_classes: Number of classes.
        out_channels: Number of channels of the feature pyramid and of each pooled map.
        head_channels: Number of channels of the fused map.
        dropout: Dropout probability of whole channels before the classifier.

    Shapes: maps `(B, C_s, H_s, W_s)` to logits `(B, num_classes, H_1, W_1)`.

    Raises:
        ValueError: If `out_channels` or `head_channels` is too small for the group norms.

    Example:
        >>> head = UPerHead([8, 16], num_classes=3, out_channels=16, head_channels=16)
        >>> head([torch.rand(1, 8, 9, 7), torch.rand(1, 16, 5, 4)]).shape
        torch.Size([1, 3, 9, 7])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        out_channels: int = 256,
        head_channels: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check_widths(out_channels, head_channels)
        last = in_channels[-1]
        self.pooled = nn.ModuleList(_conv(last, out_channels, kernel_size=1) for _ in POOL_SIZES)
        self.bottleneck = _conv(last + len(POOL_SIZES) * out_channels, out_channels)
        self.fpn = FeaturePyramidNetwork([*in_channels[:-1], out_channels], out_channels, norm_layer=group_norm)
        self.fuse = _conv(len(in_channels) * out_channels, head_channels)
        self.classifier = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(head_channels, num_classes, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        last = maps[-1]
        parts = [last]
        for side, conv in zip(POOL_SIZES, self.pooled, strict=True):
            parts.append(resize_map(conv(pool_map(last, side)), last.shape[2:]))
        inputs = [*maps[:-1], self.bottleneck(torch.cat(parts, 1))]
        pyramid = list(self.fpn({str(stage): x for stage, x in enumerate(inputs)}).values())
        fused = self.fuse(torch.cat([resize_map(x, pyramid[0].shape[2:]) for x in pyramid], 1))
        logits: Tensor = self.classifier(fused)
        return logits


def _check_widths(out_channels: int, head_channels: int) -> None:
    for name, width in (("out_channels", out_channels), ("head_channels", head_channels)):
        if width < MIN_CHANNELS:
            raise ValueError(f"{name} must be at least {MIN_CHANNELS}, got {width}.")
