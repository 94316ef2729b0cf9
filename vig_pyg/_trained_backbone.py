"""The weights of a trained classifier, a folder or a name on the Hugging Face hub, as the start of a backbone."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

from vig_pyg import weights
from vig_pyg._io.text import error_text, terminal_text
from vig_pyg.artifact import CLASSIFICATION, CONFIG, WEIGHTS, read_config
from vig_pyg.config import variant_name
from vig_pyg.config_schema import read_preprocessing
from vig_pyg.interchange import statistics_of
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.hub import find_folder, is_hub_name

_log = logging.getLogger(__name__)

#: Extensions of weight files: a path that ends in one is never looked up on the hub.
_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")
#: Options that have no effect on the weights of a backbone.
_FREE = frozenset({"num_classes", "image_size", "dropout", "drop_path_rate", "distillation", "position", "knn_engine"})


def is_trained_model(source: Any) -> bool:
    """True if a source of weights is a folder, or a name on the Hugging Face hub.

    Args:
        source: The source.
    """
    if not isinstance(source, str | Path):
        return False
    name = str(source)
    return Path(name).is_dir() or (is_hub_name(name) and not name.lower().endswith(_FILES))


def check_weights(source: weights.Source | None) -> None:
    """Check that a source of weights for a backbone exists, without reading or downloading anything.

    Args:
        source: As for `load_weights`; only paths are checked.

    Raises:
        FileNotFoundError: If the source is a path that does not exist.
    """
    if not is_trained_model(source):
        weights.check_exists(source)


def load_trained(body: VisionGNN[Any], source: str | Path, *, changed: Collection[str]) -> None:
    """Load the weights of a trained classifier into a backbone of the same architecture.

    Args:
        body: The backbone, which is changed in place.
        source: A folder, or a name on the hub.
        changed: Names of options that differ on purpose.

    Raises:
        FileNotFoundError: If the folder is not that of a model.
        ConnectionError: If a model on the hub cannot be downloaded.
        ValueError: If the model is no classifier, or has another architecture.
    """
    folder = find_folder(str(source))
    content = read_config(folder / CONFIG)
    if content["task"] != CLASSIFICATION:
        raise ValueError(
            f"{source} is a model for {content['task']}, but a backbone starts from a classifier: pass the folder of a "
            "run of vig-pyg train."
        )
    state = weights.read_state(folder / WEIGHTS)
    try:
        weights.load_weights(body, state, overridden=changed)
    except ValueError as error:
        ours = _described(content["model"], body)
        raise ValueError(f"{source} has another architecture than this backbone{ours} {error_text(error)}") from error
    _compare_pixels(content, body, source)


def _described(entry: Any, body: VisionGNN[Any]) -> str:
    """Return how the configuration of a model differs from that of a backbone, and what to do, as part of a message."""
    family = type(body).__name__
    theirs = entry if isinstance(entry, dict) else {}
    if theirs.get("family") != family:
        return f": it is a {terminal_text(theirs.get('family'), limit=60)}, and this is a {family}. Choose its --model."
    config = body.config
    pairs = {
        field.name: (theirs[field.name], getattr(config, field.name))
        for field in fields(config)
        if field.name in theirs and field.name not in _FREE
    }
    other = {
        name: value
        for name, (value, own) in pairs.items()
        if isinstance(own, int | float | str | tuple) and value != (list(own) if isinstance(own, tuple) else own)
    }
    shown = terminal_text(", ".join(f"{name}={value}" for name, value in other.items()), limit=300)
    base = f"{variant_name(config) or family}"
    return f" ({base}): it has {shown}. Choose the same --model and options." if other else "."


def _compare_pixels(content: dict[str, Any], body: VisionGNN[Any], source: str | Path) -> None:
    """Log a warning if the classifier was trained with pixels of another normalization."""
    if content.get("preprocessing") is None:
        return
    look = read_preprocessing(content["preprocessing"], "config.json: preprocessing")
    usual = statistics_of(body.config, body.config.in_channels)
    if (look.mean, look.std) != usual:
        _log.warning(
            "%s was trained with the mean %s and the standard deviation %s of the pixels, not the usual %s and %s: "
            "pass the same to this network.",
            terminal_text(source), look.mean, look.std, *usual,
        )  # fmt: skip
