"""WiGNet: a Pyramid ViG whose graphs stay inside windows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from vig_pyg.block import Block
from vig_pyg.family_config import WIGNET_VARIANTS, WiGNetConfig
from vig_pyg.graph import WindowGraph
from vig_pyg.models.pyramid_vig import PyramidViG


class WiGNet(PyramidViG):
    """WiGNet: a Pyramid ViG with nearest neighbors in windows, shifted in every second block (arXiv 2410.00807).

    Args:
        variant: `"tiny"`, `"small"`, `"medium"`, or a `WiGNetConfig`.
        overrides: Fields of `WiGNetConfig` to change, such as `num_classes`, `image_size` or `window`.

    Shapes: images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`, to logits `(B, num_classes)`.
    `feature_info` has one entry for each stage.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> WiGNet("tiny", num_classes=10).eval()(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    config_class = WiGNetConfig
    variants = WIGNET_VARIANTS

    def __init__(self, variant: str | WiGNetConfig = "tiny", **overrides: Any) -> None:
        super().__init__(variant, **overrides)

    def _make_blocks(self) -> Iterator[partial[Block]]:
        config = self.config
        assert isinstance(config, WiGNetConfig)
        stages = zip(config.depths, config.stage_graphs, strict=True)
        places = [(i, graph) for depth, graph in stages for i in range(depth)]
        for make, (place, graph) in zip(super()._make_blocks(), places, strict=True):
            if graph != "window":
                yield make
                continue
            shift = config.window // 2 if config.shift and place % 2 else 0
            windows = partial(
                WindowGraph, window=config.window, shift=shift, adaptive=config.adaptive, position=config.position
            )
            yield partial(make, graph=windows)
