"""Checks of the types and bounds of the options of a segmentation network, before anything is built."""

from __future__ import annotations

from typing import Any

from vig_pyg import backbones
from vig_pyg._io.schema import Check, choice, mapping, number, optional, text, whole
from vig_pyg.detection.norm import NORM_MODES
from vig_pyg.segmentation.heads import MIN_CHANNELS

#: The options beside those of the backbone, and their checks.
OPTIONS: dict[str, Check] = {
    "weights_backbone": optional(text(4_096)),
    "trainable_layers": whole(0, 5),
    "norm": choice(NORM_MODES),
    "out_channels": whole(MIN_CHANNELS, 4_096),
    "head_channels": optional(whole(MIN_CHANNELS, 4_096)),
    "head_dropout": number(0, 1),
}
_NUM_CLASSES: dict[str, Check] = {"num_classes": whole(1, 100_000)}


def check_own(value: Any, where: str, *, num_classes: bool = True) -> dict[str, Any]:
    """Check options of `SegmenterOptions`.

    Example:
        >>> check_own({"out_channels": 64}, "config.json: options")
        {'out_channels': 64}
    """
    entries = {**OPTIONS, **(_NUM_CLASSES if num_classes else {})}
    checked: dict[str, Any] = mapping(entries, also="" if num_classes else backbones.ALSO)(value, where)
    return checked


def check_options(value: Any, where: str) -> dict[str, Any]:
    """Check the options of a segmentation network and its backbone, without the number of classes.

    Example:
        >>> check_options({"k": [3, 9], "out_channels": 64}, "config.yaml: options")
        {'k': (3, 9), 'out_channels': 64}
    """
    if not isinstance(value, dict):
        return check_own(value, where)  # raises an error with the expected value
    body, rest = backbones.split_options(value, OPTIONS)
    if "num_classes" in rest:
        raise ValueError(f"{where}: leave out num_classes, because it comes from the classes of the images.")
    return {**backbones.check_options(body, where), **check_own(rest, where, num_classes=False)}
