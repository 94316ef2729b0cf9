"""Measurement of the multiply-accumulates of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vig_pyg.models import VisionGNN


@torch.no_grad()
def count_macs(model: VisionGNN[Any], size: tuple[int, int]) -> int:
    """Count the multiply-accumulates for one image in convolutions, linear layers and neighbor searches.

    Selection, aggregation, norms and activations are not counted, as in the published tables.

    Args:
        model: The model. Its neighbor search must use the dense engine, as `knn_engine="auto"` does for one image.
        size: Height and width of the image in pixels.

    Returns:
        The number of multiply-accumulates.

    Example:
        >>> from vig_pyg import vig_micro
        >>> count_macs(vig_micro(), (32, 32)) > 10**7
        True
    """
    was_training = model.training
    image = torch.zeros(1, model.config.in_channels, *size, device=model.first_parameter.device)
    image = image.to(model.first_parameter.dtype)
    model.eval()(image)  # position codes are computed once and cached
    with FlopCounterMode(display=False) as counter:
        model(image)
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
