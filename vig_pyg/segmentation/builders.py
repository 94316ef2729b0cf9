"""Builders of networks for semantic segmentation with a Vision GNN pyramid as the backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from torch import nn

from vig_pyg import backbones, weights
from vig_pyg._trained_backbone import starting_from
from vig_pyg.artifact import SEGMENTATION
from vig_pyg.config import ModelConfig
from vig_pyg.detection.builders import split_options
from vig_pyg.detection.norm import NormMode
from vig_pyg.models import VisionGNN
from vig_pyg.segmentation.heads import SemanticFPN, UPerHead
from vig_pyg.segmentation.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions:
    """The options that the networks for semantic segmentation share.

    Args:
        num_classes: Number of classes; labels are 0 to `num_classes - 1`.
        weights_backbone: Classification weights for the backbone: `"imagenet1k"` (published, see
            `vig_pyg.weights`), a trained classifier (its folder, or its name on the Hugging Face hub), or any source of
            `vig_pyg.weights.load_weights`.
        trainable_layers: Number of trained layers in the order stage 4, 3, 2, 1, stem. All 5 are trained by default,
            also with `weights_backbone`, as in the published recipes for ADE20K.
        norm: Kind of the batch norms of the backbone: `"batch"`, `"sync"` (over devices), or `"frozen"`, for batches
            that are too small for statistics. The heads have group norms.
        out_channels: Width of the feature pyramid; the published value is 256.
        head_channels: Width of the segmentation head. The default is 128 for Semantic FPN, as published, and
            `out_channels` for UPerNet.
        head_dropout: Dropout probability of whole channels before the classifier; 0.1 is usual.

    Example:
        >>> SegmenterOptions(num_classes=3).out_channels
        256
    """

    num_classes: int
    weights_backbone: weights.Source | None = None
    trainable_layers: int = 5
    norm: NormMode = "batch"
    out_channels: int = 256
    head_channels: int | None = None
    head_dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """The complete configuration of a segmentation network without its weights; builders store it as its `config`.

    Args:
        options: The shared options, with all defaults resolved and without `weights_backbone`.
    """

    task: ClassVar[str] = SEGMENTATION
    segmenter: str
    backbone: Any
    options: SegmenterOptions

    def to_json(self) -> dict[str, Any]:
        """Return the entry `model` of `config.json`."""
        options = asdict(self.options)
        del options["weights_backbone"]
        return {"segmenter": self.segmenter, "backbone": backbones.describe(self.backbone), "options": options}

    def build(self) -> Segmenter:
        """Create the network with random weights."""
        return _assemble(self, backbones.build(self.backbone))


def semantic_fpn_pvig(variant: str | ModelConfig | None = None, **options: Any) -> Segmenter:
    """Create a Semantic FPN (arXiv 1901.02446) on the four stages of a pyramid, as is usual for ADE20K.

    Args:
        variant: `"tiny"`, `"small"`, `"medium"`, `"base"` or `"micro"` of Pyramid ViG, the name of another registered
            pyramid, such as `"greedyvig_small"`, or a configuration, such as a `PyramidViGConfig`. The default is the
            architecture of a trained classifier in `weights_backbone`, or `"tiny"` without one.
        options: Fields of `SegmenterOptions` (`num_classes` is required) and of the backbone's configuration, such as
            `drop_path_rate`, `in_channels`, `k` and `conv`. Unlike for a classifier, the default of `position` is
            `"grid"`, which is exact at any size.

    Shapes: normalized images `(B, C, H, W)` of any size to `{"out": (B, num_classes, H, W)}`, like torchvision's
    segmentation models; a list of `(C, H_i, W_i)` to `{"out": [(num_classes, H_i, W_i), ...]}`, without padding.

    Raises:
        TypeError: If an option is unknown or `num_classes` is missing.
        ValueError: If the value of an option is out of range, or the weights do not fit.

    Example:
        >>> import torch
        >>> model = semantic_fpn_pvig("micro", num_classes=3, out_channels=16)
        >>> model.eval()(torch.rand(1, 3, 50, 70))["out"].shape
        torch.Size([1, 3, 50, 70])
    """
    return _build("semantic_fpn", variant, options)


def upernet_pvig(variant: str | ModelConfig | None = None, **options: Any) -> Segmenter:
    """Create a UPerNet (arXiv 1807.10221) on the four stages of a pyramid; it is larger and slower than Semantic FPN.

    Args:
        variant, options: As for `semantic_fpn_pvig`.

    Shapes: as for `semantic_fpn_pvig`.

    Raises:
        TypeError, ValueError: As for `semantic_fpn_pvig`.

    Example:
        >>> upernet_pvig("micro", num_classes=3, out_channels=16).head.classifier[1]
        Conv2d(16, 3, kernel_size=(1, 1), stride=(1, 1))
    """
    return _build("upernet", variant, options)


#: The builders by the name of their head.
SEGMENTERS: dict[str, Callable[..., Segmenter]] = {"semantic_fpn": semantic_fpn_pvig, "upernet": upernet_pvig}


def segmenter_config(segmenter: str, variant: str | ModelConfig, options: Mapping[str, Any]) -> SegmenterConfig:
    """Return the configuration for the arguments of a builder, with all defaults resolved; nothing is built or read.

    Example:
        >>> segmenter_config("semantic_fpn", "micro", {"num_classes": 3}).options.head_channels
        128
    """
    ours, overrides = _split(options, variant)
    backbone = backbones.backbone_config(variant, overrides)
    width = min(128, ours.out_channels) if segmenter == "semantic_fpn" else ours.out_channels
    resolved = replace(ours, weights_backbone=None, head_channels=ours.head_channels or width)
    return SegmenterConfig(segmenter=segmenter, backbone=backbone, options=resolved)


def _build(segmenter: str, variant: str | ModelConfig | None, options: dict[str, Any]) -> Segmenter:
    variant, options = starting_from(variant, options)
    config = segmenter_config(segmenter, variant, options)
    body = backbones.build(config.backbone)
    backbones.load_weights(body, options.get("weights_backbone"), variant, _split(options, variant)[1])
    return _assemble(config, body)


def _assemble(config: SegmenterConfig, body: VisionGNN[Any]) -> Segmenter:
    """Create the network of a configuration from a backbone, whose classifier is removed."""
    ours = config.options
    kind: type[nn.Module] = SemanticFPN if config.segmenter == "semantic_fpn" else UPerHead
    head = kind(
        config.backbone.channels,
        ours.num_classes,
        out_channels=ours.out_channels,
        head_channels=ours.head_channels,
        dropout=ours.head_dropout,
    )
    model = Segmenter(body, head, trainable_layers=ours.trainable_layers, norm=ours.norm)
    model.config = config
    return model


def _split(options: Mapping[str, Any], variant: str | ModelConfig) -> tuple[SegmenterOptions, dict[str, Any]]:
    found, overrides = split_options(SegmenterOptions, options, variant, what="the segmentation network")
    if found.num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {found.num_classes}.")
    return found, overrides
