"""What a model costs, measured."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vig_pyg.models import VisionGNN


@torch.no_grad()
def count_macs(model: VisionGNN[Any], size: tuple[int, int]) -> int:
    """Multiply-accumulates of one image: convolutions, linear layers and the product of the neighbor search.

    Selection, aggregation, norms and activations are not counted, as in the published tables.

    Args:
        model: With the dense engine (`knn_engine="auto"` takes it for one image).
        size: Height and width in pixels.

    Example:
        >>> from vig_pyg import vig_micro
        >>> count_macs(vig_micro(), (32, 32)) > 10**7
        True
    """
    was_training = model.training
    image = torch.zeros(1, model.config.in_channels, *size, device=model.pos_embed.weight.device)
    image = image.to(model.pos_embed.weight.dtype)
    model.eval()(image)  # position codes are computed once and kept
    with FlopCounterMode(display=False) as counter:
        model(image)
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
