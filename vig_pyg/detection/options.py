"""Checks of the types and bounds of detector options, before anything is built."""

from __future__ import annotations

from typing import Any

from vig_pyg import backbones
from vig_pyg._image_values import SIDE_LIMIT
from vig_pyg._io.schema import Check, choice, either, flag, listing, mapping, number, optional, text, whole
from vig_pyg.detection.norm import NORM_MODES

_SIDE = whole(1, SIDE_LIMIT)
_OF_CHANNELS = optional(listing(number(-1_000, 1_000), 1, 1_024))
#: The options beside those of the backbone, and their checks.
OPTIONS: dict[str, Check] = {
    "weights_backbone": optional(text(4_096)),
    "trainable_layers": optional(whole(0, 5)),
    "norm": optional(choice(NORM_MODES)),
    "out_channels": whole(1, 4_096),
    "anchor_scale": optional(number(0.01, 1_000)),
    "min_size": either(listing(_SIDE, 1, 100), _SIDE),
    "max_size": _SIDE,
    "image_mean": _OF_CHANNELS,
    "image_std": _OF_CHANNELS,
}
_NUM_CLASSES: dict[str, Check] = {"num_classes": whole(1, 100_000)}
#: An option of torchvision's class: a flag, a threshold, a list of four weights, or a number of boxes.
_THEIRS = optional(either(flag, listing(number(-1_000, 1_000), 1, 16), number(-1_000, 100_000)))


def check_own(value: Any, where: str, *, num_classes: bool = True) -> dict[str, Any]:
    """Check options of `DetectorOptions`; entries of `detector` are checked when torchvision's class is created.

    Example:
        >>> check_own({"out_channels": 64}, "config.json: options")
        {'out_channels': 64}
    """
    inner = value.get("detector") if isinstance(value, dict) else None
    names = inner if isinstance(inner, dict) and len(inner) < 100 else {}
    theirs = optional(mapping({str(name): _THEIRS for name in names}))
    entries = {**OPTIONS, **(_NUM_CLASSES if num_classes else {}), "detector": theirs}
    checked: dict[str, Any] = mapping(entries, also="" if num_classes else backbones.ALSO)(value, where)
    return checked


def check_options(value: Any, where: str) -> dict[str, Any]:
    """Check the options of a detector and its backbone, as for a builder, but without the number of classes.

    Example:
        >>> check_options({"k": [3, 9], "min_size": 64}, "config.yaml: options")
        {'k': (3, 9), 'min_size': 64}
    """
    if not isinstance(value, dict):
        return check_own(value, where)  # raises an error with the expected value
    body, rest = backbones.split_options(value, OPTIONS)
    if "num_classes" in rest:
        raise ValueError(f"{where}: leave out num_classes, because it comes from the annotations.")
    return {**backbones.check_options(body, where), **check_own(rest, where, num_classes=False)}
