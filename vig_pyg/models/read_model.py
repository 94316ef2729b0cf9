"""Loading of a model from a folder, which is checked before the model is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vig_pyg._io.launcher import as_started
from vig_pyg._io.schema import read_as
from vig_pyg._io.text import terminal_text
from vig_pyg.artifact import CONFIG, DETECTION, SEGMENTATION, WEIGHTS, is_foreign, read_config
from vig_pyg.checkpoints.load import load_state, take_dtypes
from vig_pyg.checkpoints.read import read_state
from vig_pyg.config import ModelConfig
from vig_pyg.config_schema import check_size, check_weights_hold, model_options, read_preprocessing
from vig_pyg.preprocess import Preprocessing

#: Models of other tasks and their commands, for messages.
_OTHERS = {DETECTION: ("a detector", "detect"), SEGMENTATION: ("a segmentation network", "segment")}


def read_model(
    base: Any,
    folder: Path,
    *,
    map_location: str | torch.device = "cpu",
    strict: bool = True,
    **overrides: Any,
) -> Any:
    """Load a model from a folder in evaluation mode; this needs safetensors, but not huggingface_hub.

    Args:
        base: The class or base class of the model, such as `VisionGNN`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg import VisionGNN, vig_micro
        >>> with TemporaryDirectory() as folder:
        ...     _ = vig_micro(num_classes=2).save_pretrained(folder)
        ...     read_model(VisionGNN, Path(folder)).config.num_classes
        2
    """
    path = folder / CONFIG
    family, config, class_names, preprocessing = _read_config(base, path)
    check_weights_hold(lambda: family(config), folder / WEIGHTS, str(path))
    model = family(config.override(overrides))
    model.preprocessing = preprocessing
    model.class_names = class_names if model.config.num_classes == config.num_classes else None
    weights = folder / WEIGHTS
    state = read_state(weights)
    take_dtypes(model, state)
    try:
        load_state(model, state, where=str(weights), overridden=overrides, strict=strict)
    except ValueError as error:
        raise ValueError(f"{path} and {WEIGHTS} beside it do not belong together: {error}") from error
    return model.eval().to(map_location)


def _read_config(base: Any, path: Path) -> tuple[Any, ModelConfig, list[str] | None, Preprocessing | None]:
    """Read and check the family, the configuration, the class names and the preprocessing, without creating a model."""
    where, what = str(path), "the configuration of a classifier"
    content = read_config(path)
    with read_as(what, where):
        if content["task"] != "image-classification":
            what_else, command = _OTHERS[content["task"]]
            use = as_started(f"vig-pyg {command}")
            raise ValueError(f"it is that of {what_else}; use `{use}`, or vig_pyg.load.")
        entry = content["model"]
        if not isinstance(entry, dict) or not isinstance(entry.get("family"), str):
            raise ValueError("it has no entry 'family' that names a model family.")
        if is_foreign(entry):
            raise ValueError(
                f"its network is a {terminal_text(entry['family'], limit=80)}, which is not in this library: create it "
                f"yourself, and load {WEIGHTS} with vig_pyg.weights.read_state and load_state_dict."
            )
    family = find_family(base, entry.pop("family"))
    names, made = content.get("class_names"), content.get("preprocessing")
    with read_as(what, where):
        config: ModelConfig = family.config_class(**model_options(family.config_class)(entry, where))
        made = None if made is None else read_preprocessing(made, f"{where}: preprocessing")
        check_size(config, config.image_size if made is None else made.image_size, where)
        if names is not None and len(names) != config.num_classes:
            raise ValueError(f"it has {len(names)} class_names, but the model has {config.num_classes} classes.")
        if made is not None and made.in_channels != config.in_channels:
            raise ValueError(
                f"its preprocessing has {made.in_channels} channels, but the model has {config.in_channels}."
            )
    return family, config, names, made


def find_family(cls: Any, name: str) -> Any:
    """Return the class with this name, which is the given class or one of its subclasses.

    Raises:
        ValueError: If there is no such class.

    Example:
        >>> from vig_pyg import VisionGNN
        >>> find_family(VisionGNN, "GreedyViG").__name__
        'GreedyViG'
    """
    known = {cls.__name__: cls}
    for child in cls.__subclasses__():
        known |= {child.__name__: child} | {grandchild.__name__: grandchild for grandchild in child.__subclasses__()}
    if name not in known:
        raise ValueError(f"The model is a {name}, not a {cls.__name__}: use {name}.from_pretrained(...).")
    return known[name]
