"""The layers before the first block of ViG and Pyramid ViG: the stem and the learned position embedding."""

from __future__ import annotations

from vig_pyg.config import ModelConfig
from vig_pyg.position import PositionEmbedding
from vig_pyg.stem import Stem


def make_stem(config: ModelConfig, channels: int) -> tuple[Stem, PositionEmbedding]:
    """Create the stem of a ViG and its learned position embedding.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> make_stem(VIG_VARIANTS["micro"], 64)[1].weight.shape
        torch.Size([1, 64, 8, 8])
    """
    side = -(-config.image_size // config.patch_size)
    stem = Stem(config.in_channels, channels, patch_size=config.patch_size)
    return stem, PositionEmbedding(channels, (side, side))
