"""The folder of a trained model, for every task: `config.json`, `model.safetensors`, and a model card (`README.md`).

`save_pretrained` writes this folder; a run folder has additional files. The content of a folder is checked and never
executed. Operators and graphs are stored by their registered names, or by their import paths.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from vig_pyg._io.bounded_json import read_json
from vig_pyg._io.output import write_file
from vig_pyg._io.schema import Scalar, choice, listing, mapping, optional, read_as, whole
from vig_pyg.checkpoints.metadata import to_safetensors
from vig_pyg.checkpoints.read import IN_FOLDER
from vig_pyg.config import MODELS, ModelConfig, variant_config
from vig_pyg.config_schema import check_names, options_of
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS, DilatedKNN, each_graph, map_graphs
from vig_pyg.interchange import FOREIGN, foreign_entries
from vig_pyg.preprocess import Preprocessing

CONFIG = "config.json"
WEIGHTS = IN_FOLDER
CARD = "README.md"
#: File with the weights of the best epoch so far; an unfinished run also has it.
BEST = "best.safetensors"
#: Version of the format of `config.json`; a change that older code cannot read increases it.
VERSION = 1
Task = Literal["image-classification", "object-detection", "semantic-segmentation"]
CLASSIFICATION: Task = "image-classification"
DETECTION: Task = "object-detection"
SEGMENTATION: Task = "semantic-segmentation"


def write_config(
    folder: Path,
    model: nn.Module,
    *,
    class_names: Sequence[str] | None = None,
    preprocessing: Any = None,
    category_ids: Sequence[int] | None = None,
) -> None:
    """Write `config.json`, with everything that this library, timm and transformers need to create and use the model.

    Args:
        folder: An existing folder.
        model: A `VisionGNN`, or a model of `vig_pyg.detection` or `vig_pyg.segmentation`. For any other module only
            the name of its class is written, and the error of `vig_pyg.load` explains how to use the weights.
        class_names: Names of the classes, in the order of the logits or labels.
        preprocessing: The preprocessing of the images: a dataclass, for classifiers a `Preprocessing`.
        category_ids: For a detector, the COCO category ID of each class.

    Raises:
        OSError: If the file cannot be written; an existing file is then unchanged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg import vig_micro
        >>> with TemporaryDirectory() as folder:
        ...     write_config(Path(folder), vig_micro(num_classes=2), class_names=["cat", "dog"])
        ...     read_config(Path(folder) / CONFIG)["class_names"]
        ['cat', 'dog']
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
        folder: An existing folder.
        state: The state dict of the model, on any device.

    Shapes: tensors of any shape.

    Raises:
        OSError: If the file cannot be written; an existing file is then unchanged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg import vig_micro
        >>> with TemporaryDirectory() as folder:
        ...     write_weights(Path(folder), vig_micro().state_dict())
        ...     [path.name for path in Path(folder).iterdir()]
        ['model.safetensors']
    """
    write_file(folder / WEIGHTS, to_safetensors(state), overwrite=True)


def describe(model: nn.Module) -> tuple[Task, dict[str, Any]]:
    """Return the task of a model, and the entry `model` of its `config.json`.

    Args:
        model: The model.

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
        return getattr(config, "task", DETECTION), config.to_json()
    return CLASSIFICATION, {"family": _place(type(model))}


def describe_config(config: ModelConfig) -> dict[str, Any]:
    """Return the fields of a configuration as JSON values, with names instead of callables.

    Args:
        config: The configuration.

    Raises:
        ValueError: If the graphs of the stages cannot be told apart by their names.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> describe_config(VIG_VARIANTS["tiny"])["conv"]
        'mr'
    """
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    graphs = each_graph(config.graph)
    if any(graph is DilatedKNN for graph in graphs) and values.get("position") is not None:
        if any(graph in (None, "knn") for graph in graphs):
            raise ValueError(
                f"graph={graphs} cannot be saved, because DilatedKNN (without positions) and 'knn' (with "
                f"position={values['position']!r}) would have the same name 'knn': pass position=None, or use one of "
                "the two in all stages."
            )
        values["position"] = None  # without options, `DilatedKNN` uses no positions, like "knn" with position=None
    for name, registry in (("conv", CONVS), ("graph", GRAPHS)):
        values[name] = map_graphs(partial(_named, name_of=registry.name_of), values[name])
    return values


def _named(value: Any, *, name_of: Callable[[object], str | None]) -> Any:
    """Return the name of a callable, and any other value as it is."""
    return name_of(value) or _place(value) if callable(value) else value


def read_config(path: Path, *, what: str = "the configuration of a model") -> dict[str, Any]:
    """Read `config.json` and check its top-level entries; nothing is built, imported or downloaded.

    Classifier files of earlier versions of this library are converted to the current format. Detector files of earlier
    versions are returned unchanged, with `schema_version` 0.

    Args:
        path: The file.
        what: Description of the expected content for error messages.

    Raises:
        ValueError: If the file is not a valid configuration, or a later version wrote it.
        FileNotFoundError: If the file does not exist.

    Example:
        >>> read_config(Path("/nowhere/config.json"))
        Traceback (most recent call last):
        FileNotFoundError: There is no file /nowhere/config.json.
    """
    where = str(path)
    with read_as(what, where):
        content = _upgraded(read_json(path), where)
        version = content.get("schema_version")
        if content["task"] == DETECTION and version == 0:
            return content
        if type(version) is int and version > VERSION:
            raise ValueError(
                f"its schema_version is {version}, but this vig-pyg reads at most {VERSION}: install a later vig-pyg."
            )
        entries: dict[str, Any] = _ENTRIES(content, where)
        return {name: value for name, value in entries.items() if name not in FOREIGN}


def is_foreign(entry: Mapping[str, Any]) -> bool:
    """True if an entry `model` names a class outside this library; such a class is never imported.

    Args:
        entry: The entry.

    Example:
        >>> is_foreign({"family": "ViG"}), is_foreign({"family": "my_models:MyNetwork"})
        (False, True)
    """
    return ":" in str(entry.get("family", ""))


def _upgraded(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Convert the content of a file of an earlier version to the current format."""
    if content.get("kind") == "detector":
        return {**content, "schema_version": 0, "task": DETECTION}
    if "schema_version" in content:
        return {**content, "task": content.get("task")}
    rest: dict[str, Any] = {key: content[key] for key in ("class_names", "preprocessing") if key in content}
    if "model" in content:  # the format of old run folders: the name of a variant, and options
        name = str(choice(tuple(MODELS))(content["model"], f"{where}: model"))
        options = options_of(name)(content.get("options", {}), f"{where}: options")
        config = variant_config(name).override(options)
        model = {"family": type(config).__name__.removesuffix("Config"), **describe_config(config)}
        known = ("model", "options", *rest)
        for key in known:
            if key not in content:
                raise ValueError(f"{where}: the entry {key!r} is missing.")
    # The format of old `save_pretrained` folders: all fields at the top level.
    elif isinstance(content.get("family"), str):
        model, known = {key: value for key, value in content.items() if key not in rest}, tuple(content)
    else:
        raise ValueError("it has no entry 'schema_version', so it does not describe a model of this library.")
    rest |= {key: value for key, value in content.items() if key not in known}  # unknown entries are refused below
    return {"schema_version": VERSION, "task": CLASSIFICATION, "model": model, **rest}


def _foreign(
    model: nn.Module, task: Task, class_names: Sequence[str] | None, preprocessing: Preprocessing | None
) -> dict[str, Any]:
    """Return the entries of a classifier that timm and transformers read."""
    config = getattr(model, "config", None)
    if task != CLASSIFICATION or not isinstance(config, ModelConfig):
        return {}
    named = {name: value for name, value in describe_config(config).items() if name in ("conv", "graph", "position")}
    width = getattr(model, "num_features", 0)
    return foreign_entries(
        replace(config, **named), num_features=width, class_names=class_names, preprocessing=preprocessing
    )


def _place(value: Any) -> str:
    """Return where a class, a function or the class of an object is defined, as `module:name`."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


#: A check that accepts anything, because the entry is checked later, when the task is known.
_later = Scalar("anything", lambda _: True)
_ENTRIES = mapping(
    {
        "schema_version": whole(1, VERSION),
        "task": choice((CLASSIFICATION, DETECTION, SEGMENTATION)),
        "model": _later,
        "class_names": optional(check_names),
        "preprocessing": _later,
        "category_ids": optional(listing(whole(-(2**63), 2**63 - 1), 1, 100_000)),
        **dict.fromkeys(FOREIGN, _later),  # written for other libraries, and not read here
    },
    required=("schema_version", "task", "model"),
)
