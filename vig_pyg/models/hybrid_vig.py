"""Pyramids whose stages have convolutional blocks, followed by graph blocks: MobileViG, GreedyViG and MobileViGv2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from vig_pyg.block import Block, Grapher
from vig_pyg.data import BatchLayout
from vig_pyg.family_config import (
    GREEDYVIG_VARIANTS,
    MOBILEVIG_VARIANTS,
    MOBILEVIGV2_VARIANTS,
    GreedyViGConfig,
    HybridViGConfig,
    MobileViGConfig,
    MobileViGv2Config,
)
from vig_pyg.head import ClassifierHead
from vig_pyg.layers import FFN
from vig_pyg.local import InvertedResidual
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.pyramid_vig import Stage
from vig_pyg.models.variants import resolve_config
from vig_pyg.stem import Downsample, Stem

ConfigT = TypeVar("ConfigT", bound=HybridViGConfig)


class HybridViG(VisionGNN[ConfigT]):
    """Base class of pyramids with convolutional blocks and graph blocks in each stage, in this order.

    A subclass sets `config_class` and `variants`.

    Args:
        variant: The name of a variant, or a configuration.
        overrides: Fields of the configuration to change, such as `num_classes`, `conv` or `graph`.

    Shapes: images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`, to logits `(B, num_classes)`. With
    `distillation`, training returns a pair of logits. `feature_info` has one entry for each stage.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> issubclass(GreedyViG, HybridViG)
        True
    """

    #: The configurations of the variants, by name.
    variants: ClassVar[Mapping[str, HybridViGConfig]]

    def __init__(self, variant: str | ConfigT, **overrides: Any) -> None:
        config: Any = resolve_config(variant, self.variants, type(self), overrides)
        channels = config.channels
        stem = Stem(config.in_channels, channels[0], patch_size=config.patch_size, last_conv=False)
        super().__init__(config, stem=stem, pos_embed=nn.Identity(), channels=channels[0], last_channels=channels[-1])
        drop_paths, graphers = iter(config.drop_paths()), self._graphers()
        self.stages = nn.ModuleList()
        for s, (width, local, graph) in enumerate(zip(channels, config.local_depths, config.graph_depths, strict=True)):
            blocks: list[nn.Module] = [
                InvertedResidual(
                    width, config.ffn_ratio * width, drop_path=next(drop_paths), layer_scale=config.layer_scale
                )
                for _ in range(local)
            ]
            blocks += [self._graph_block(width, next(graphers), next(drop_paths)) for _ in range(graph)]
            self.stages.append(Stage(Downsample(channels[s - 1], width) if s > 0 else None, blocks))
        self.feature_info = [
            {"num_chs": width, "reduction": config.patch_size * 2**s, "module": f"stages.{s}"}
            for s, width in enumerate(channels)
        ]
        self.reset_classifier(config.num_classes)

    def _graphers(self) -> Iterator[dict[str, Any]]:
        """Yield the options of each Grapher that do not depend on its width."""
        conv, graphs = self._factories()
        for graph, (k, spacing) in zip(graphs, self.config.neighbors(), strict=True):
            yield {"conv": conv, "graph": graph, "k": k, "dilation": spacing}

    def _graph_block(self, width: int, options: dict[str, Any], drop_path: float) -> Block:
        config = self.config
        grapher = Grapher(
            width,
            **options,
            drop_path=drop_path,
            conv_channels=config.conv_ratio * width,
            position_kernel=config.position_kernel,
            layer_scale=config.graph_scale,
        )
        return Block(grapher, FFN(width, config.ffn_ratio * width, drop_path=drop_path, layer_scale=config.graph_scale))

    def _new_head(self, num_classes: int) -> ClassifierHead:
        config = self.config
        return ClassifierHead(
            self.num_features,
            num_classes,
            hidden_channels=config.head_channels,
            dropout=config.dropout,
            distillation=config.distillation,
        )

    def _stages(self, x: Tensor, layout: BatchLayout) -> Iterator[tuple[Tensor, BatchLayout]]:
        for stage in self.stages:
            x, layout = stage(x, layout, checkpointing=self.grad_checkpointing)
            yield x, layout


class MobileViG(HybridViG[MobileViGConfig]):
    """MobileViG: convolutional blocks, and in the last stage graph blocks on the axial graph (arXiv 2307.00395).

    Args:
        variant: `"tiny"`, `"small"`, `"medium"`, `"base"`, or a `MobileViGConfig`.
        overrides: Fields of `MobileViGConfig` to change, such as `num_classes`, `conv` or `graph`.

    Shapes: as for `HybridViG`.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> MobileViG("tiny", num_classes=10).eval()(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    config_class = MobileViGConfig
    variants = MOBILEVIG_VARIANTS

    def __init__(self, variant: str | MobileViGConfig = "tiny", **overrides: Any) -> None:
        super().__init__(variant, **overrides)


class GreedyViG(HybridViG[GreedyViGConfig]):
    """GreedyViG: convolutional blocks and graph blocks on the dynamic axial graph in each stage (arXiv 2405.06849).

    Args:
        variant: `"small"`, `"medium"`, `"base"`, or a `GreedyViGConfig`.
        overrides: Fields of `GreedyViGConfig` to change, such as `num_classes`, `conv` or `graph`.

    Shapes: as for `HybridViG`.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> GreedyViG("small", num_classes=10).eval()(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    config_class = GreedyViGConfig
    variants = GREEDYVIG_VARIANTS

    def __init__(self, variant: str | GreedyViGConfig = "small", **overrides: Any) -> None:
        super().__init__(variant, **overrides)


class MobileViGv2(HybridViG[MobileViGv2Config]):
    """MobileViGv2: convolutional blocks and, from stage 2 on, graph blocks on the cross graph (arXiv 2406.05850).

    Args:
        variant: `"tiny"`, `"small"`, `"medium"`, `"base"`, or a `MobileViGv2Config`.
        overrides: Fields of `MobileViGv2Config` to change, such as `num_classes`, `conv` or `graph`.

    Shapes: as for `HybridViG`.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> MobileViGv2("tiny", num_classes=10).eval()(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    config_class = MobileViGv2Config
    variants = MOBILEVIGV2_VARIANTS

    def __init__(self, variant: str | MobileViGv2Config = "tiny", **overrides: Any) -> None:
        super().__init__(variant, **overrides)
