"""The folder that a trained model is, for every task: `config.json`, `model.safetensors`, and a card in `README.md`.

`save_pretrained` writes it, and a run folder is one with more files beside it. What a folder says is checked and never
run: an operator or graph that is code stands in it by its registered name, or by where it was defined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from vig_pyg._io.bounded_json import read_json
from vig_pyg._io.output import write_file
from vig_pyg._io.schema import Scalar, choice, listing, mapping, optional, read_as, whole
from vig_pyg.checkpoints.metadata import to_safetensors
from vig_pyg.config import MODELS, ModelConfig, variant_config
from vig_pyg.config_schema import check_names, options_of
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS, DilatedKNN
from vig_pyg.interchange import FOREIGN, foreign_entries
from vig_pyg.preprocess import Preprocessing

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
#: Weights of the best epoch so far, which a run that is not finished has too.
BEST = "best.safetensors"
#: What `config.json` is written as; a change that older code cannot read adds one.
VERSION = 1
Task = Literal["image-classification", "object-detection"]
CLASSIFICATION: Task = "image-classification"
DETECTION: Task = "object-detection"


def write_config(
    folder: Path,
    model: nn.Module,
    *,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    category_ids: Sequence[int] | None = None,
) -> None:
    """Write `config.json`: what is needed to make a model again and to use it, here, in timm and in transformers.

    Args:
        folder: The folder, which exists.
        model: A `VisionGNN`, or a detector of `vig_pyg.detection`. Any other module is written by the name of its
            class, and `vig_pyg.load` says how its weights can be used.
        class_names: Names of the classes, in the order of the logits or labels.
        preprocessing: Preprocessing of the images of a classifier.
        category_ids: Number of each class of a detector in COCO's files.

    Raises:
        OSError: If it cannot be written; a file that was there is then still whole.
    """
    task, described = describe(model)
    content: dict[str, Any] = {"schema_version": VERSION, "task": task, "model": described}
    extra = {
        "class_names": class_names,
        "preprocessing": preprocessing and asdict(preprocessing),
        "category_ids": category_ids,
    }
    content |= {key: value for key, value in extra.items() if value is not None}
    content |= _foreign(model, task, class_names, preprocessing)
    write_file(folder / CONFIG, json.dumps(content, indent=2) + "\n", overwrite=True)


def write_weights(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict as `model.safetensors`.

    Args:
        folder: The folder, which exists.
        state: State dict of the model, on any device.

    Raises:
        OSError: If it cannot be written; a file that was there is then still whole.
    """
    write_file(folder / WEIGHTS, to_safetensors(state), overwrite=True)


def describe(model: nn.Module) -> tuple[Task, dict[str, Any]]:
    """Describe a model: its task, and the entry `model` of its `config.json`.

    Example:
        >>> from vig_pyg import vig_micro
        >>> task, entry = describe(vig_micro())
        >>> task, entry["family"]
        ('image-classification', 'ViG')
    """
    config: Any = getattr(model, "config", None)
    if isinstance(config, ModelConfig):
        return CLASSIFICATION, {"family": getattr(model, "family", type(model).__name__), **describe_config(config)}
    if hasattr(config, "to_json"):
        return DETECTION, config.to_json()
    return CLASSIFICATION, {"family": _place(type(model))}


def describe_config(config: ModelConfig) -> dict[str, Any]:
    """Return the fields of a configuration for JSON, with names in place of callables."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    if values["graph"] is DilatedKNN and "position" in values:
        values["position"] = None  # without options it searches without positions, as "knn" does with None
    for name, registry in (("conv", CONVS), ("graph", GRAPHS)):
        if callable(values[name]):
            values[name] = registry.name_of(values[name]) or _place(values[name])
    return values


def read_config(path: Path, *, what: str = "the configuration of a model") -> dict[str, Any]:
    """Read `config.json` and check its outer entries; nothing is built, imported or fetched.

    What earlier versions of this library wrote for classifiers is brought to the form of today. What they wrote for
    detectors has `schema_version` 0 and comes as it is.

    Args:
        path: The file.
        what: The kind of content that is expected, for errors.

    Raises:
        ValueError: If it is none, or was written by a later version.
    """
    where = str(path)
    with read_as(what, where):
        content = _upgraded(read_json(path), where)
        version = content.get("schema_version")
        if content["task"] == DETECTION and version == 0:
            return content
        if type(version) is int and version > VERSION:
            raise ValueError(
                f"its schema_version is {version}, and this vig-pyg reads up to {VERSION}: install a later vig-pyg."
            )
        entries: dict[str, Any] = _ENTRIES(content, where)
        return {name: value for name, value in entries.items() if name not in FOREIGN}


def is_foreign(entry: Mapping[str, Any]) -> bool:
    """True if an entry `model` names a class of other code, which is never imported."""
    return ":" in str(entry.get("family", ""))


def _upgraded(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Today's form of what earlier versions wrote."""
    if content.get("kind") == "detector":
        return {**content, "schema_version": 0, "task": DETECTION}
    if "schema_version" in content:
        return {**content, "task": content.get("task")}
    rest: dict[str, Any] = {key: content[key] for key in ("class_names", "preprocessing") if key in content}
    if "model" in content:  # a run folder: the name of a variant, and options
        name = str(choice(tuple(MODELS))(content["model"], f"{where}: model"))
        options = options_of(name)(content.get("options", {}), f"{where}: options")
        config = variant_config(name).override(options)
        model = {"family": type(config).__name__.removesuffix("Config"), **describe_config(config)}
        known = ("model", "options", *rest)
        for key in known:
            if key not in content:
                raise ValueError(f"{where}: the entry {key!r} is missing.")
    elif isinstance(content.get("family"), str):  # a folder of save_pretrained: all fields at the top
        model, known = {key: value for key, value in content.items() if key not in rest}, tuple(content)
    else:
        raise ValueError("it has no entry 'schema_version', so it is no model of this library.")
    rest |= {key: value for key, value in content.items() if key not in known}  # unknown ones are refused below
    return {"schema_version": VERSION, "task": CLASSIFICATION, "model": model, **rest}


def _foreign(
    model: nn.Module, task: Task, class_names: Sequence[str] | None, preprocessing: Preprocessing | None
) -> dict[str, Any]:
    """Return what timm and transformers read of a classifier."""
    config = getattr(model, "config", None)
    if task != CLASSIFICATION or not isinstance(config, ModelConfig):
        return {}
    named = {name: value for name, value in describe_config(config).items() if name in ("conv", "graph", "position")}
    width = getattr(model, "num_features", 0)
    return foreign_entries(
        replace(config, **named), num_features=width, class_names=class_names, preprocessing=preprocessing
    )


def _place(value: Any) -> str:
    """Return the place where a class, a function or the class of an object is defined, as `module:name`."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


#: Accepts anything: the entry is checked when the task is known.
_later = Scalar("anything", lambda _: True)
_ENTRIES = mapping(
    {
        "schema_version": whole(1, VERSION),
        "task": choice((CLASSIFICATION, DETECTION)),
        "model": _later,
        "class_names": optional(check_names),
        "preprocessing": _later,
        "category_ids": optional(listing(whole(-(2**63), 2**63 - 1), 1, 100_000)),
        **dict.fromkeys(FOREIGN, _later),  # written for others, and not read here
    },
    required=("schema_version", "task", "model"),
)
