"""The weights of a trained classifier, a folder or a name on the Hugging Face hub, as the start of a backbone."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vig_pyg import weights
from vig_pyg._io.text import error_text, terminal_text
from vig_pyg.artifact import CLASSIFICATION, CONFIG, WEIGHTS, read_config
from vig_pyg.checkpoints.load import load_state
from vig_pyg.checkpoints.metadata import from_text, kept_text
from vig_pyg.config import MODELS, ModelConfig, variant_name
from vig_pyg.config_schema import read_preprocessing
from vig_pyg.interchange import statistics_of
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.hub import find_folder, is_hub_name

_log = logging.getLogger(__name__)

#: Extensions of weight files: a path that ends in one is never looked up on the hub.
_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")
#: Options that have no effect on the weights of a backbone.
_FREE = frozenset({"num_classes", "image_size", "dropout", "drop_path_rate", "distillation", "position", "knn_engine"})

#: Options whose flags have no prefix.
_SHORT = frozenset({"conv", "graph", "k"})


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
        known = _without_position(state) if getattr(body.config, "position", None) == "grid" else None
        load_state(body, state, where=terminal_text(source), known=known, overridden=changed)
    except ValueError as error:
        ours = _described(content, body)
        raise ValueError(f"{source} has another architecture than this backbone{ours} {error_text(error)}") from error
    _compare_pixels(content, body, source)


def _without_position(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the recorded options without `position`: every backbone has its default, which is no fault of a start."""
    text = kept_text(state)
    return None if text is None else {name: value for name, value in from_text(text).items() if name != "position"}


def _described(content: Mapping[str, Any], body: VisionGNN[Any]) -> str:
    """Return how the configuration of a model differs from that of a backbone, and what to do, as part of a message."""
    family = type(body).__name__
    theirs = content["model"] if isinstance(content["model"], dict) else {}
    if theirs.get("family") != family:
        told = f": it is a {terminal_text(theirs.get('family'), limit=60)}"
        if isinstance(theirs.get("channels"), int):
            return (
                f"{told}, which has a single scale, so it cannot be a backbone, and this is a {family}. Train a "
                "classifier that has stages, such as pvig_micro, and pass its folder."
            )
        flags = _flags(theirs, content.get("architecture"))
        return f"{told}, and this is a {family}. Choose its --model{' and options' * (flags.count('--') > 1)}{flags}."
    config = body.config
    other = _differing(theirs, config)
    shown = terminal_text(", ".join(f"{name}={value}" for name, value in other.items()), limit=300)
    base = f"{variant_name(config) or family}"
    flags = _flags(theirs, content.get("architecture"))
    return f" ({base}): it has {shown}. Choose the same --model and options{flags}." if other else "."


def _differing(theirs: Mapping[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Return the options of a model in its file that differ from a configuration."""
    pairs = {
        field.name: (theirs[field.name], getattr(config, field.name))
        for field in fields(config)
        if field.name in theirs and field.name not in _FREE
    }
    return {
        name: value
        for name, (value, own) in pairs.items()
        if (own is None or isinstance(own, int | float | str | tuple))
        and value != (list(own) if isinstance(own, tuple) else own)
    }


def _flags(theirs: Mapping[str, Any], architecture: Any) -> str:
    """Return the flags that choose a network like that of a file, after a colon, or `""` if it has no name."""
    family = {name: one for name, one in MODELS.items() if f"{theirs.get('family')}Config" == type(one).__name__}
    if not family:
        return ""
    name = architecture if isinstance(architecture, str) and architecture in family else next(iter(family))
    words = ["--model", name]
    for key, value in _differing(theirs, family[name]).items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += [f"--{key}" if key in _SHORT else f"--options.{key}", shlex.quote(terminal_text(text, limit=200))]
    return f": {' '.join(words)}"


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
