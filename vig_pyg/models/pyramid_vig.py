"""Pyramid Vision GNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from vig_pyg.config import PYRAMID_VIG_VARIANTS, PyramidViGConfig
from vig_pyg.data import BatchLayout, map_images, to_maps, to_nodes
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.embedding import make_stem
from vig_pyg.models.grad_checkpointing import run_block
from vig_pyg.models.variants import resolve_config
from vig_pyg.stem import Downsample


class Stage(nn.Module):
    """One stage: a `Downsample` (except in the first stage), followed by blocks on one grid.

    Args:
        downsample: The layer that halves the grid of the previous stage, or `None`.
        blocks: The blocks of this stage.

    Shapes: `x (N, C_in)` and its layout to `(N', C)` and the new layout; with `checkpointing`, training stores only the
    inputs of the blocks.

    Example:
        >>> from vig_pyg import pvig_micro
        >>> len(pvig_micro().stages)
        4
    """

    def __init__(self, downsample: Downsample | None, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, layout: BatchLayout, *, checkpointing: bool = False) -> tuple[Tensor, BatchLayout]:
        if self.downsample is not None:
            x, layout = to_nodes(map_images(self.downsample, to_maps(x, layout)))
        for block in self.blocks:
            x = run_block(block, x, layout, checkpointing=checkpointing)
        return x, layout


class PyramidViG(VisionGNN[PyramidViGConfig]):
    """Pyramid ViG with four stages; each stage has half the height and width of the previous one.

    The architecture is that of Vision GNN (arXiv 2206.00272, table 2).

    Args:
        variant: `"tiny"`, `"small"`, `"medium"`, `"base"`, `"micro"`, or a `PyramidViGConfig`.
        overrides: Fields of `PyramidViGConfig` to change, such as `num_classes`, `conv`, `position` or `patch_size`.

    Shapes: images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`, to logits `(B, num_classes)`.
    `feature_info` has one entry for each stage.

    Raises:
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> [tuple(m.shape) for m in PyramidViG("micro").eval().forward_intermediates(torch.rand(1, 3, 32, 32))]
        [(1, 32, 16, 16), (1, 48, 8, 8), (1, 64, 4, 4), (1, 96, 2, 2)]
    """

    config_class = PyramidViGConfig
    #: The configurations of the variants, by name.
    variants: ClassVar[Mapping[str, PyramidViGConfig]] = PYRAMID_VIG_VARIANTS

    def __init__(self, variant: str | PyramidViGConfig = "tiny", **overrides: Any) -> None:
        config = resolve_config(variant, self.variants, type(self), overrides)
        channels = config.channels
        stem, pos_embed = make_stem(config, channels[0])
        super().__init__(
            config,
            stem=stem,
            pos_embed=pos_embed,
            channels=channels[0],
            last_channels=channels[-1],
            position=config.position,
        )
        makers = self._make_blocks()
        self.stages = nn.ModuleList()
        for s, (depth, width, ratio) in enumerate(zip(config.depths, channels, config.reduce_ratios, strict=True)):
            downsample = Downsample(channels[s - 1], width) if s > 0 else None
            self.stages.append(Stage(downsample, [next(makers)(width, reduce_ratio=ratio) for _ in range(depth)]))
        self.feature_info = [
            {"num_chs": width, "reduction": config.patch_size * 2**s, "module": f"stages.{s}"}
            for s, width in enumerate(channels)
        ]
        self.reset_classifier(config.num_classes)

    def _stages(self, x: Tensor, layout: BatchLayout) -> Iterator[tuple[Tensor, BatchLayout]]:
        for stage in self.stages:
            x, layout = stage(x, layout, checkpointing=self.grad_checkpointing)
            yield x, layout
