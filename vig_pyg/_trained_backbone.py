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
from vig_pyg._io.launcher import as_started
from vig_pyg._io.text import error_text, terminal_text
from vig_pyg.artifact import CLASSIFICATION, CONFIG, WEIGHTS, read_config
from vig_pyg.checkpoints.load import load_state
from vig_pyg.config import MODELS, ModelConfig, variant_name
from vig_pyg.config_schema import model_options, read_preprocessing
from vig_pyg.interchange import statistics_of
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.hub import find_folder, is_hub_name

_log = logging.getLogger(__name__)

#: Extensions of weight files: a path that ends in one is never looked up on the hub.
_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")
#: Options that have no effect on the weights of a backbone.
_FREE = frozenset({
    "num_classes", "image_size", "head_channels", "dropout", "drop_path_rate", "distillation", "position", "knn_engine",
})  # fmt: skip

#: Options whose flags have no prefix.
_SHORT = frozenset({"conv", "graph", "k", "patch_size"})
#: Options that tell the models of a family apart.
_SHAPE = frozenset({"channels", "depths", "local_depths", "graph_depths"})
_SINGLE_SCALE = (
    "which has a single scale, so it cannot be a backbone: train a classifier that has stages, such as pvig_micro, and "
    "pass its folder."
)


def is_trained_model(source: Any) -> bool:
    """True if a source of weights is a folder, or a name on the Hugging Face hub, but not that of published weights."""
    # a folder of data may be called imagenet1k too
    if not isinstance(source, str | Path) or source in (*weights.TAGS, weights.AVERAGED):
        return False
    name = str(source)
    return Path(name).is_dir() or (is_hub_name(name) and not name.lower().endswith(_FILES))


def check_weights(source: weights.Source | None) -> None:
    """Check that a source of weights for a backbone exists, without reading or downloading anything.

    Raises:
        FileNotFoundError: If the source is a path that does not exist.
    """
    if not is_trained_model(source):
        weights.check_exists(source)


def architecture_of(source: str | Path) -> tuple[str, dict[str, Any]]:
    """Return the name of a model and the options that give a backbone the architecture of a trained classifier.

    Options that have no effect on the weights, such as `drop_path_rate`, are left out. No code is imported: an operator
    of the user's own is returned as the folder names it.

    Args:
        source: A folder, or a name on the hub.

    Raises:
        FileNotFoundError: If the folder is not that of a model.
        ConnectionError: If a model on the hub cannot be downloaded.
        ValueError: If the model is no classifier, or cannot be a backbone.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg import pvig_micro
        >>> with TemporaryDirectory() as folder:
        ...     _ = pvig_micro(num_classes=2, k=5).save_pretrained(folder)
        ...     architecture_of(folder)
        ('pvig_micro', {'k': 5})
    """
    theirs = _read_classifier(find_folder(str(source)), source)["model"]
    theirs = theirs if isinstance(theirs, dict) else {}
    family = terminal_text(theirs.get("family"), limit=60)
    if isinstance(theirs.get("channels"), int):
        raise ValueError(f"{source} is a {family}, {_SINGLE_SCALE}")
    name = _nearest_model(theirs)
    if not name:
        raise ValueError(
            f"{source} is a {family}, but no model of this family is registered: import the module that registers "
            "one, or choose another classifier."
        )
    usual = MODELS[name].image_size
    side = theirs.get("image_size", usual)  # that of the position embedding
    taken = {**_differing(theirs, MODELS[name]), **({} if side == usual else {"image_size": side})}
    known = {key: value for key, value in taken.items() if key not in ("conv", "graph")}  # these may be code
    checked = model_options(type(MODELS[name]))(known, f"{source}: {CONFIG}: model")
    return name, {key: checked.get(key, value) for key, value in taken.items()}


def starting_from(variant: str | ModelConfig | None, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the arguments of a builder, where a backbone without a name gets the architecture of its weights.

    Args:
        variant: The name or the configuration of a backbone. `None` means that of a trained classifier, if
            `weights_backbone` is one, and otherwise `"tiny"`.
        options: The options of the builder, which come before those of the classifier.

    Raises:
        FileNotFoundError, ConnectionError, ValueError: If the classifier cannot be read, or cannot be a backbone.

    Example:
        >>> starting_from(None, {"k": 5})
        ('tiny', {'k': 5})
    """
    source = options.get("weights_backbone")
    if variant is not None or not is_trained_model(source):
        return "tiny" if variant is None else variant, dict(options)
    assert isinstance(source, str | Path)  # `is_trained_model` is true for these only
    name, taken = architecture_of(source)
    return name, {**taken, **options}


def _read_classifier(folder: Path, source: str | Path) -> dict[str, Any]:
    """Read `config.json` of a classifier; another model is an error."""
    content = read_config(folder / CONFIG)
    if content["task"] != CLASSIFICATION:
        raise ValueError(
            f"{source} is a model for {content['task']}, but a backbone starts from a classifier: pass the folder of a "
            f"run of {as_started('vig-pyg train')}."
        )
    return content


def load_trained(body: VisionGNN[Any], source: str | Path, *, changed: Collection[str]) -> None:
    """Load the weights of a trained classifier into a backbone of the same architecture.

    Raises:
        FileNotFoundError: If the folder is not that of a model.
        ConnectionError: If a model on the hub cannot be downloaded.
        ValueError: If the model is no classifier, or has another architecture.
    """
    folder = find_folder(str(source))
    content = _read_classifier(folder, source)
    state = weights.read_state(folder / WEIGHTS)
    try:
        load_state(body, state, where=terminal_text(source), overridden=changed, of_backbone=True)
    except ValueError as error:
        ours = _described(content, body)
        raise ValueError(f"{source} has another architecture than this backbone{ours} {error_text(error)}") from error
    _compare_pixels(content, body, source)


def _described(content: Mapping[str, Any], body: VisionGNN[Any]) -> str:
    """Return how the configuration of a model differs from that of a backbone, and what to do, as part of a message."""
    family = type(body).__name__
    theirs = content["model"] if isinstance(content["model"], dict) else {}
    if theirs.get("family") != family:
        told = f": it is a {terminal_text(theirs.get('family'), limit=60)}"
        if isinstance(theirs.get("channels"), int):
            return f"{told}, {_SINGLE_SCALE}"
        return f"{told}, and this is a {family}. {_advice(theirs, 'its')}"
    config = body.config
    other = _differing(theirs, config)
    shown = terminal_text(", ".join(f"{name}={value}" for name, value in other.items()), limit=300)
    base = f"{variant_name(config) or family}"
    return f" ({base}): it has {shown}. {_advice(theirs, 'the same')}" if other else "."


def _advice(theirs: Mapping[str, Any], which: str) -> str:
    """Return how a backbone gets the architecture of a file, as sentences; its flags are `its` or `the same`."""
    name = _nearest_model(theirs)
    if not name:
        return f"Choose {which} --model."
    options = _differing(theirs, MODELS[name])
    flags = f"--model{' and options' if options else ''}: {' '.join(network_flags(name, options))}"
    return (
        f"Choose {which} {flags}. If neither flags nor a configuration file name a model, the backbone has the "
        "architecture of the classifier."
    )


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


def _nearest_model(theirs: Mapping[str, Any]) -> str:
    """Return the registered model with the same depths and widths, or the first of the family, or `""` without one."""
    family = {name: one for name, one in MODELS.items() if f"{theirs.get('family')}Config" == type(one).__name__}
    return min(family, key=lambda name: bool(_SHAPE & _differing(theirs, family[name]).keys()), default="")


def network_flags(name: str, options: Mapping[str, Any]) -> list[str]:
    """Return the words of the flags that choose a network.

    Example:
        >>> network_flags("pvig_micro", {"k": 5, "depths": [1, 1, 1, 1]})
        ['--model', 'pvig_micro', '--k', '5', '--options.depths', "'[1, 1, 1, 1]'"]
    """
    words = ["--model", name]
    for key, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        flag = f"--{key}" if key in _SHORT else f"--options.{key}"
        words += [flag.replace("_", "-"), shlex.quote(terminal_text(text, limit=200))]
    return words


def _compare_pixels(content: dict[str, Any], body: VisionGNN[Any], source: str | Path) -> None:
    """Log a warning if the classifier was trained with pixels of another normalization."""
    if content.get("preprocessing") is None:
        return
    look = read_preprocessing(content["preprocessing"], "config.json: preprocessing")
    usual = statistics_of(body.config, body.config.in_channels)
    if (look.mean, look.std) != usual:
        _log.warning(
            "%s was trained with the mean %s and the standard deviation %s of the pixels, but this network would use "
            "%s and %s by default: pass the values of the classifier.",
            terminal_text(source), look.mean, look.std, *usual,
        )  # fmt: skip
