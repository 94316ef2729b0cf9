"""Preset configurations of classifiers, and their modification by files and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vig_pyg._io.bounded_yaml import read_yaml
from vig_pyg._io.schema import nearest
from vig_pyg.classification.config import Augmentation, ClassificationConfig
from vig_pyg.engine.config_file import Source, from_values, merge_values, to_values, to_yaml

__all__ = ["PRESETS", "load_config", "read_yaml", "to_yaml"]

#: Configurations that are ready to use. `imagenet` is that of Vision GNN (arXiv 2206.00272, table 3 and the published
#: training command).
PRESETS: dict[str, ClassificationConfig] = {
    # takes a minute on a CPU; the small data set needs a high learning rate, and has no colors
    "digits": ClassificationConfig(
        in_channels=1,
        options={"patch_size": 2},
        num_workers=0,
        augmentation=Augmentation(affine=True, crop=None, flip=0.0),
    ),
    # fine-tunes a trained network on other images; it diverges at the published learning rate, but not at a tenth of it
    "finetune": ClassificationConfig(
        data="images",
        image_size=224,
        crop_pct=0.9,
        model="pvig_tiny",
        epochs=30,
        lr=2e-4,
        layer_decay=0.75,
        drop_path_rate=0.1,
        ema=0.999,
        ema_warmup=True,
        keep="best",
        augmentation=Augmentation(crop=0.2, randaugment="rand-m5-mstd0.5-inc1"),
    ),
    # trains on thousands of images from random weights, about an hour on a CPU
    "scratch": ClassificationConfig(
        data="images",
        image_size=64,
        model="pvig_micro",
        options={"patch_size": 4, "channels": (48, 96, 160, 256), "depths": (2, 2, 4, 2)},
        epochs=50,
        lr=2e-3,
        cutmix=1.0,
        mix_prob=0.5,
        ema=0.998,
        ema_warmup=True,
    ),
    "imagenet": ClassificationConfig(
        data="imagenet",
        image_size=224,
        crop_pct=0.9,
        model="pvig_small",
        epochs=300,
        batch_size=1024,
        lr=2e-3,
        warmup="20 epochs",
        warmup_lr=1e-6,
        drop_path_rate="published",
        mixup=0.8,
        cutmix=1.0,
        repeats=3,
        ema=0.99996,
        precision="16-mixed",
        num_workers=8,
        augmentation=Augmentation(crop=0.08, color_jitter=0.4, randaugment="rand-m9-mstd0.5-inc1", erasing=0.25),
    ),
}


def load_config(preset: str, *sources: Source) -> ClassificationConfig:
    """Return a preset with changed values; later sources override earlier ones.

    Args:
        preset: A name in `PRESETS`.
        sources: Pairs of a name for error messages, such as a file name, and values by field name. `options` replaces
            all options of the network, and a key such as `options.k` sets one. If the model is not that of the preset,
            the options of the preset are ignored, because they belong to its model. Only the `patch_size` of the
            preset is kept if `image_size` is not changed, because it was chosen for this size.

    Raises:
        ValueError: If the preset, a name or a value is wrong; the message suggests the nearest valid name.

    Example:
        >>> load_config("digits", ("the command line", {"lr": 1e-3, "options.k": 5})).options
        {'patch_size': 2, 'k': 5}
    """
    if preset not in PRESETS:
        raise ValueError(f"Unknown preset {nearest(preset, PRESETS)}: choose one of {', '.join(PRESETS)}.")
    base = to_values(PRESETS[preset])
    own = base.pop("options")
    values = merge_values(ClassificationConfig, base, *sources)
    if any("options" in given for _, given in sources):
        own = {}
    elif values["model"] != base["model"]:
        own = {k: v for k, v in own.items() if k == "patch_size" and values["image_size"] == base["image_size"]}
    options: Mapping[str, Any] = values.get("options", {})
    return from_values(ClassificationConfig, {**values, "options": {**own, **options}}).resolved()
