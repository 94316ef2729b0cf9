"""What the `config.json` of a detector's run may say: types and bounds, checked before anything is built."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vig_pyg._io.schema import Check, choice, either, flag, listing, mapping, number, optional, text, whole
from vig_pyg.config import PYRAMID_VIG_VARIANTS, PyramidViGConfig
from vig_pyg.config_schema import SIDE_LIMIT, check_names, check_size, model_options
from vig_pyg.detection.builders import DETECTORS
from vig_pyg.detection.norm import NORM_MODES

_SIDE = whole(1, SIDE_LIMIT)
_PATH = text(4_096)
_OF_CHANNELS = optional(listing(number(-1_000, 1_000), 1, 1_024))
#: Options of the builders but `num_classes`, which the names of the classes tell.
_OURS: dict[str, Check] = {
    "weights_backbone": optional(_PATH),
    "trainable_layers": optional(whole(0, 5)),
    "norm": optional(choice(NORM_MODES)),
    "out_channels": whole(1, 4_096),
    "anchor_scale": optional(number(0.01, 1_000)),
    "min_size": either(listing(_SIDE, 1, 100), _SIDE),
    "max_size": _SIDE,
    "image_mean": _OF_CHANNELS,
    "image_std": _OF_CHANNELS,
}
#: An option of torchvision's classes: they have flags, thresholds, weights of four sides, and numbers of boxes.
_THEIRS = optional(either(flag, listing(number(-1_000, 1_000), 1, 16), number(-1_000, 100_000)))
_RECIPE: dict[str, Check] = {
    "epochs": whole(1, 1_000_000),
    "lr": number(0, 1_000),
    "weight_decay": number(0, 1_000),
    "schedule": choice(("step", "cosine")),
    "warmup": whole(0, 1_000_000_000),
    "clip": number(0, 1e9),
    "batch_size": whole(1, 100_000),
    "precision": choice(("float32", "bfloat16")),
    "seed": whole(0, 2**32 - 1),
}
_AUGMENTATION: dict[str, Check] = {
    "flip": choice(("none", "h", "hv")),
    "scale": listing(number(0.01, 16), 2, 2),
    "color": number(0, 1),
}


def _options(value: Any, where: str) -> dict[str, Any]:
    """Options of a builder, of the PyramidViG, and of torchvision's class."""
    if not isinstance(value, dict):
        return mapping({})(value, where)  # says what is expected
    theirs = {field.name for field in fields(PyramidViGConfig)} - {"num_classes"}
    body = model_options(PyramidViGConfig)({key: one for key, one in value.items() if key in theirs}, where)
    rest = {key: one for key, one in value.items() if key not in theirs}
    inner = rest.pop("detector", None)
    found = mapping(_OURS)(rest, where)
    if inner is not None:
        names = inner if isinstance(inner, dict) and len(inner) < 100 else {}
        found["detector"] = mapping({str(name): _THEIRS for name in names})(inner, f"{where}: detector")
    return {**body, **found}


_ENTRIES: dict[str, Check] = {
    "kind": choice(("detector",)),
    "train": _PATH,
    "val": _PATH,
    "detector": choice(tuple(DETECTORS)),
    "variant": choice(tuple(PYRAMID_VIG_VARIANTS)),
    "options": _options,
    "recipe": mapping(_RECIPE, required=tuple(_RECIPE)),
    "augmentation": mapping(_AUGMENTATION, required=tuple(_AUGMENTATION)),
    "on_bad": choice(("drop", "stop")),
    "class_names": check_names,
    "category_ids": listing(whole(-(2**63), 2**63 - 1), 1, 100_000),
}


def check_config(content: dict[str, Any], where: str) -> dict[str, Any]:
    """The entries of a run's configuration; nothing is built, read or fetched.

    Args:
        content: What `config.json` holds.
        where: Its name for errors.

    Raises:
        ValueError: If something is missing, unknown, out of its bounds, or does not go with the rest.

    Example:
        >>> check_config({"kind": "classifier"}, "config.json")
        Traceback (most recent call last):
        ValueError: config.json: kind must be one of detector, got 'classifier'.
    """
    if "kind" not in content and "model" in content:
        raise ValueError(
            f"{where}: it is the configuration of a classifier: use `vig-pyg predict`, `evaluate` or `train`."
        )
    if "kind" in content:
        _ENTRIES["kind"](content["kind"], f"{where}: kind")
    config: dict[str, Any] = mapping(_ENTRIES, required=tuple(_ENTRIES))(content, where)
    if not len(config["class_names"]) == len(config["category_ids"]) == len(set(config["category_ids"])):
        raise ValueError(f"{where}: category_ids must be one number for each of class_names, each once.")
    names = {field.name for field in fields(PyramidViGConfig)}
    overrides = {key: value for key, value in config["options"].items() if key in names}
    body = PYRAMID_VIG_VARIANTS[config["variant"]].override(overrides)
    check_size(body, config["options"].get("max_size", 1333), where)
    return config
