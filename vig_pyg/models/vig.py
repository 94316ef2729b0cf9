"""Isotropic Vision GNN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from vig_pyg.config import VIG_VARIANTS, ViGConfig
from vig_pyg.data import BatchLayout
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.embedding import make_stem
from vig_pyg.models.grad_checkpointing import run_block
from vig_pyg.models.variants import resolve_config


class ViG(VisionGNN[ViGConfig]):
    """Isotropic ViG, in which all blocks have the same grid of patches and the same width.

    The architecture is that of Vision GNN (arXiv 2206.00272, table 1).

    Args:
        variant: `"tiny"`, `"small"`, `"base"`, `"micro"`, or a `ViGConfig`.
        overrides: Fields of `ViGConfig` to change, such as `num_classes`, `in_channels`, `conv`, `k` or `patch_size`.

    Shapes: images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`, to logits `(B, num_classes)`.
    `feature_info` has one entry for each block.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> ViG("micro", num_classes=10).eval()(torch.rand(2, 3, 32, 48)).shape
        torch.Size([2, 10])
    """

    config_class = ViGConfig

    def __init__(self, variant: str | ViGConfig = "tiny", **overrides: Any) -> None:
        config = resolve_config(variant, VIG_VARIANTS, ViG, overrides)
        stem, pos_embed = make_stem(config, config.channels)
        super().__init__(
            config, stem=stem, pos_embed=pos_embed, channels=config.channels, last_channels=config.channels
        )
        self.blocks = nn.ModuleList(make(config.channels) for make in self._make_blocks())
        self.feature_info = [
            {"num_chs": config.channels, "reduction": config.patch_size, "module": f"blocks.{i}"}
            for i in range(config.depth)
        ]
        self.reset_classifier(config.num_classes)

    def _stages(self, x: Tensor, layout: BatchLayout) -> Iterator[tuple[Tensor, BatchLayout]]:
        for block in self.blocks:
            x = run_block(block, x, layout, checkpointing=self.grad_checkpointing)
            yield x, layout
