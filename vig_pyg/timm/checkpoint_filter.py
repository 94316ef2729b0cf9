"""Conversion of weights before timm loads them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vig_pyg.checkpoints.check import resize_position
from vig_pyg.checkpoints.formats import to_native
from vig_pyg.checkpoints.read import unwrap_with_notes

_log = logging.getLogger(__name__)


def checkpoint_filter_fn(state: Mapping[str, Any], model: nn.Module) -> dict[str, Tensor]:
    """Convert a state dict of any format to the names and the grid of a model; timm calls this function before loading.

    Args:
        state: A state dict in our format, the published one, or mmpretrain's.
        model: The model.

    Returns:
        The state dict with native names, without a classifier if the model has none.

    Shapes: as for `vig_pyg.weights.to_native`; a position embedding is resized to the grid of the model.

    Raises:
        ValueError: As for `vig_pyg.weights.to_native` and `vig_pyg.weights.unwrap_state_dict`.

    Example:
        >>> from vig_pyg import vig_micro, weights
        >>> model = vig_micro()
        >>> sorted(checkpoint_filter_fn(weights.convert(model, "official"), model)) == sorted(model.state_dict())
        True
    """
    foreign, notes = unwrap_with_notes(state)
    expected = model.state_dict()
    native = to_native(foreign)
    notes += resize_position(native, expected)
    if not any(key.startswith("head.") for key in expected):
        native = {key: tensor for key, tensor in native.items() if not key.startswith("head.")}
    for note in notes:
        _log.warning(note)
    return dict(native)
