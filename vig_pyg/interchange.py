"""Names of model options in timm and transformers, and the entries of `config.json` that they read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from vig_pyg._image_values import Statistic
from vig_pyg.config import MODELS, ModelConfig, variant_name
from vig_pyg.preprocess import Preprocessing, each_channel, fit_statistic

#: timm's names for options that have another name in this library; all other options have the same name.
TIMM_NAMES = {"in_chans": "in_channels", "img_size": "image_size", "drop_rate": "dropout"}
#: The first convolution, whose input channels timm adapts, and the linear layer that depends on the number of classes.
FIRST_CONV, CLASSIFIER = "stem.0", "head.fc2"
PAPER = "arXiv:2206.00272"
#: The entries of `config.json` that are written for timm and transformers.
FOREIGN = (
    "architecture",
    "num_classes",
    "num_features",
    "global_pool",
    "model_args",
    "pretrained_cfg",
    "label_names",
    "id2label",
    "label2id",
)


def statistics_of(config: ModelConfig | type[ModelConfig], channels: int = 3) -> tuple[Statistic, Statistic]:
    """Return the mean and the standard deviation with which the published networks of a family were trained.

    They are 0.5 unless the class of the configuration has the attribute `pixel_statistics`, such as `(0.4, 0.2)`.

    Args:
        config: The configuration of a model, or its class.
        channels: Number of channels of the images. For other channels than colors, the means over the colors are used.

    Example:
        >>> statistics_of(MODELS["mobilevig_tiny"])[0], statistics_of(MODELS["pvig_tiny"])[0]
        ((0.485, 0.456, 0.406), 0.5)
    """
    mean, std = getattr(config, "pixel_statistics", (0.5, 0.5))
    return fit_statistic(mean, channels), fit_statistic(std, channels)


def default_preprocessing(config: ModelConfig, *, crop_pct: float = 1.0) -> Preprocessing:
    """Return the preprocessing of a model without a record of its own: the size and the statistics of its family.

    Args:
        crop_pct: Side length of the crop divided by the resized short side.

    Example:
        >>> default_preprocessing(MODELS["greedyvig_small"]).std
        (0.229, 0.224, 0.225)
    """
    channels = config.in_channels
    mean, std = statistics_of(config, channels)
    return Preprocessing(image_size=config.image_size, in_channels=channels, mean=mean, std=std, crop_pct=crop_pct)


def from_timm(options: Mapping[str, Any]) -> dict[str, Any]:
    """Rename timm's options to ours.

    Args:
        options: Options under timm's names or ours. `img_size` may be a pair (height, width). A model has a single
            `image_size`, which is then the side length of a square with about as many pixels.

    Raises:
        TypeError: If an option is given under both names.
        ValueError: If `img_size` is neither a number nor a pair.

    Example:
        >>> from_timm({"in_chans": 1, "img_size": (128, 512), "k": 12})
        {'in_channels': 1, 'image_size': 256, 'k': 12}
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        ours = TIMM_NAMES.get(name, name)
        if ours in found:
            raise TypeError(f"Got the option {ours!r} twice, under our name and under timm's: leave one out.")
        found[ours] = _side(value) if name == "img_size" else value
    return found


def to_timm(config: ModelConfig) -> tuple[str, dict[str, Any]]:
    """Return timm's architecture name for a configuration, and the options with which timm creates the same model.

    Returns:
        The name of a registered model, and the options that differ from it, under timm's names. The number of classes
        is not among them, because timm stores it in another entry.

    Raises:
        ValueError: If no model of this family is registered.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> to_timm(replace(VIG_VARIANTS["tiny"], in_channels=1))
        ('vig_tiny', {'in_chans': 1})
    """
    name = variant_name(config) or next((key for key, one in MODELS.items() if type(one) is type(config)), None)
    if name is None:
        raise ValueError(f"No model with a {type(config).__name__} is registered: use vig_pyg.register_model first.")
    theirs = {ours: timm for timm, ours in TIMM_NAMES.items()}
    base = MODELS[name]
    changed = {
        theirs.get(field.name, field.name): getattr(config, field.name)
        for field in fields(config)
        if getattr(config, field.name) != getattr(base, field.name) and field.name != "num_classes"
    }
    return name, changed


def pretrained_config(config: ModelConfig, preprocessing: Preprocessing | None = None) -> dict[str, Any]:
    """Return the entries of timm's `pretrained_cfg` that describe images and layers; they name no source of weights.

    Args:
        preprocessing: The preprocessing of the images; the default is that of published weights without a crop.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> pretrained_config(VIG_VARIANTS["tiny"])["pool_size"]
        [14, 14]
    """
    images = preprocessing or default_preprocessing(config)
    cells = math.isqrt(replace(config, image_size=images.image_size).smallest_grid)
    return {
        "input_size": [config.in_channels, images.image_size, images.image_size],
        "pool_size": [cells, cells],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_mode": "center",
        "crop_pct": images.crop_pct,
        "mean": list(each_channel(images.mean, config.in_channels)),
        "std": list(each_channel(images.std, config.in_channels)),
        "num_classes": config.num_classes,
        "first_conv": FIRST_CONV,
        "classifier": CLASSIFIER,
        "paper_ids": PAPER,
    }


def foreign_entries(
    config: ModelConfig,
    *,
    num_features: int,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> dict[str, Any]:
    """Return the entries of `config.json` that timm and transformers read; this library does not read them.

    Returns:
        timm's `architecture`, `num_classes`, `num_features`, `global_pool`, `model_args`, `pretrained_cfg` and
        `label_names`, and transformers' `id2label` and `label2id`. For a family without a registered model, which timm
        cannot create, only the class names are returned.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> foreign_entries(VIG_VARIANTS["tiny"], num_features=192)["architecture"]
        'vig_tiny'
    """
    if not any(type(one) is type(config) for one in MODELS.values()):
        return label_entries(class_names)
    name, options = to_timm(config)
    entries: dict[str, Any] = {
        "architecture": name,
        "num_classes": config.num_classes,
        "num_features": num_features,
        "global_pool": "avg",
        "model_args": options,
        "pretrained_cfg": pretrained_config(config, preprocessing),
    }
    return entries | label_entries(class_names)


def label_entries(class_names: Sequence[str] | None) -> dict[str, Any]:
    """Return the class names in the entries of timm (`label_names`) and transformers (`id2label`, `label2id`).

    Example:
        >>> label_entries(["cat", "dog"])["id2label"]
        {'0': 'cat', '1': 'dog'}
    """
    if class_names is None:
        return {}
    return {
        "label_names": list(class_names),
        "id2label": {str(i): name for i, name in enumerate(class_names)},
        "label2id": {name: i for i, name in enumerate(class_names)},
    }


def _side(size: Any) -> int:
    """Return the side length of a square with about as many pixels as an image of this size."""
    pair = size if isinstance(size, (list, tuple)) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"img_size must be a positive number or a pair (height, width), got {size!r}.")
    return round(math.sqrt(pair[0] * pair[1]))
