"""A backbone of a Vision GNN pyramid and a feature pyramid network on its four feature maps.

Shapes: B images, C_s channels and H_s x W_s cells of stage s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from vig_pyg.data import Maps
from vig_pyg.detection.norm import NormMode, freeze_norms, set_norms
from vig_pyg.detection.transform import RaggedImages
from vig_pyg.models import VisionGNN


class PyramidFeatures(nn.Module):
    """A pyramid of a Vision GNN and a feature pyramid network: the backbone of torchvision's detectors.

    The pyramid processes every image at its own size, as a ragged batch, so padding never becomes a node of the graph
    or a part of the statistics of a batch norm. Only the final maps are padded with zeros to a common size, and the
    feature pyramid also uses zeros beyond an image. Therefore the map of an image does not depend on the other images
    of the batch, except through batch statistics in training.

    Args:
        body: The pyramid; its classifier is removed.
        out_channels: Number of channels of every output map; 256 in torchvision.
        stages: Stages whose maps are used, 1 to 4, ascending.
        extra: Module that computes coarser maps from the last ones, such as torchvision's `LastLevelMaxPool`.
        trainable_layers: Number of trained layers in the order stage 4, 3, 2, 1, stem; the batch norms of the others
            are frozen.
        norm: Kind of the batch norms in the trained layers: `"frozen"`, `"batch"` or `"sync"`.

    Shapes: `(B, C, H, W)` or `RaggedImages` to an ordered dict of maps `(B, out_channels, H_s, W_s)`, finest first,
    with names `"0"`, `"1"`, ... and those of `extra`.

    Raises:
        ValueError: If `stages`, `trainable_layers` or `norm` is out of range.

    Example:
        >>> from vig_pyg import PyramidViG
        >>> backbone = PyramidFeatures(PyramidViG("micro"), out_channels=16).eval()
        >>> maps = backbone(RaggedImages([torch.rand(3, 30, 40), torch.rand(3, 17, 64)], 16))
        >>> [tuple(m.shape) for m in maps.values()]
        [(2, 16, 16, 32), (2, 16, 8, 16), (2, 16, 4, 8), (2, 16, 2, 4)]
    """

    def __init__(
        self,
        body: VisionGNN[Any],
        *,
        out_channels: int = 256,
        stages: Sequence[int] = (1, 2, 3, 4),
        extra: ExtraFPNBlock | None = None,
        trainable_layers: int = 5,
        norm: NormMode = "batch",
    ) -> None:
        super().__init__()
        count = len(body.feature_info)
        if not stages or list(stages) != sorted(set(stages)) or not 1 <= min(stages) <= max(stages) <= count:
            raise ValueError(f"stages must be ascending numbers from 1 to {count}, got {tuple(stages)}.")
        body.reset_classifier(0)
        self.body = body
        self.stages = tuple(stages)
        self.out_channels = out_channels
        info = [body.feature_info[s - 1] for s in stages]
        self.strides: list[int] = [entry["reduction"] for entry in info]
        #: The sides of a padded batch are multiples of this, so that every map has half the size of the previous one.
        self.divisor: int = body.feature_info[-1]["reduction"]
        self.fpn = FeaturePyramidNetwork([entry["num_chs"] for entry in info], out_channels, extra_blocks=extra)
        set_norms(body, norm)
        freeze_layers(body, trainable_layers)

    def forward(self, images: Tensor | RaggedImages) -> OrderedDict[str, Tensor]:
        if isinstance(images, Tensor):
            images = RaggedImages(list(images), self.divisor)
        parts, (height, width) = images.images, images.shape[2:]
        same = len({part.shape for part in parts}) == 1
        # This calls the method of the class, because timm's version of a pyramid returns more than maps.
        maps = VisionGNN.forward_intermediates(
            self.body, torch.stack(parts) if same else parts, [s - 1 for s in self.stages]
        )
        sizes = [(height // stride, width // stride) for stride in self.strides]
        padded, masks = zip(*[_pad(m, size) for m, size in zip(maps, sizes, strict=True)], strict=True)
        return self._pyramid(list(padded), list(masks))

    def _pyramid(self, maps: list[Tensor], masks: list[Tensor | None]) -> OrderedDict[str, Tensor]:
        """Compute torchvision's feature pyramid, with zeros beyond each image at every step."""
        fpn = self.fpn
        above: Tensor | None = None
        results: list[Tensor] = []
        for i in reversed(range(len(maps))):
            inner = fpn.get_result_from_inner_blocks(maps[i], i)
            if above is not None:
                inner = inner + F.interpolate(above, size=inner.shape[2:], mode="nearest")
            above = _masked(inner, masks[i])
            results.insert(0, _masked(fpn.get_result_from_layer_blocks(above, i), masks[i]))
        names = [str(i) for i in range(len(maps))]
        if fpn.extra_blocks is not None:
            results, names = fpn.extra_blocks(results, maps, names)
        return OrderedDict(zip(names, results, strict=True))


def _pad(maps: Maps, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """Pad maps with zeros into one tensor, and return it with a mask of the maps, or `None` if there is no padding."""
    parts = list(maps)
    if all(part.shape[1:] == size for part in parts):
        return maps if isinstance(maps, Tensor) else torch.stack(parts), None
    gaps = [(0, size[1] - part.size(2), 0, size[0] - part.size(1)) for part in parts]
    mask = [F.pad(part.new_ones(1, *part.shape[1:]), gap) for part, gap in zip(parts, gaps, strict=True)]
    return torch.stack([F.pad(part, gap) for part, gap in zip(parts, gaps, strict=True)]), torch.stack(mask)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def freeze_layers(body: VisionGNN[Any], trainable_layers: int) -> None:
    """Freeze all layers except the last ones; the order is the stages, then the stem with the position embedding.

    Args:
        body: The network, which is changed in place; the batch norms of its frozen layers become `FrozenBatchNorm`s.
        trainable_layers: Number of trained layers in the order stage 4, 3, 2, 1, stem.

    Example:
        >>> from vig_pyg import PyramidViG
        >>> body = PyramidViG("micro"); freeze_layers(body, 0)
        >>> any(part.requires_grad for part in body.stages.parameters())
        False
    """
    stages = list(body.get_submodule("stages").children())
    layers: list[list[nn.Module]] = [[stage] for stage in reversed(stages)] + [[body.stem, body.pos_embed]]
    if not 0 <= trainable_layers <= len(layers):
        raise ValueError(f"trainable_layers must be from 0 to {len(layers)}, got {trainable_layers}.")
    for layer in layers[trainable_layers:]:
        for module in layer:
            freeze_norms(module).requires_grad_(False)
