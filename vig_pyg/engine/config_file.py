"""Merging of configuration values from files and flags, and conversion of a configuration to YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import yaml

from vig_pyg._io.dataclass_schema import checks_of
from vig_pyg._io.schema import mapping

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
#: The name of a source for error messages (a file name, or "the command line"), and its values by field name.
Source = tuple[str, Mapping[str, Any]]
_OPTION = "options."
#: Names of values in files of older versions: the name today, and the words of the value that have changed.
_FORMER = {"on_broken": ("on_bad", {"skip": "drop"})}


def merge_values(config: type[DataclassInstance], base: Mapping[str, Any], *sources: Source) -> dict[str, Any]:
    """Merge values from several sources into one mapping from field names to values.

    Args:
        sources: Sources of values; a later source overrides an earlier one. A nested entry such as `augmentation`
            changes only the values that it names. `options` replaces all options, and `options.k` changes one.

    Raises:
        ValueError: If a name or a value is wrong; the message names it, its source, and what is expected.

    Example:
        >>> from vig_pyg.engine.config import TrainConfig
        >>> merge_values(TrainConfig, {"lr": 0.1, "epochs": 3}, ("the command line", {"lr": 0.2}))
        {'lr': 0.2, 'epochs': 3}
    """
    check = mapping(checks_of(config))
    merged = dict(base)
    for where, given in sources:
        values = renamed(given)
        plain = {str(name): value for name, value in values.items() if not str(name).startswith(_OPTION)}
        for name, value in check(plain, where).items():
            merged[name] = (
                {**merged[name], **value} if isinstance(merged.get(name), dict) and name != "options" else value
            )
        single = {str(n).removeprefix(_OPTION): v for n, v in values.items() if str(n).startswith(_OPTION)}
        if single:
            merged["options"] = {**merged.get("options", {}), **single}
    return merged


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a configuration in which former names are replaced, so that older runs can be read.

    Example:
        >>> renamed({"epochs": 3, "on_broken": "skip"})
        {'epochs': 3, 'on_bad': 'drop'}
    """
    found = dict(values)
    for former, (name, words) in _FORMER.items():
        if former in found and name not in found:
            value = found.pop(former)
            found[name] = words.get(value, value) if isinstance(value, str) else value
    return found


def from_values(config: type[Config], values: Mapping[str, Any]) -> Config:
    """Create a configuration from values; nested dataclasses are created from mappings, and lists become tuples.

    Raises:
        ValueError: If a field without a default is missing, or values contradict each other.

    Example:
        >>> from vig_pyg.engine.config import TrainConfig
        >>> from_values(TrainConfig, {"epochs": 3}).epochs
        3
    """
    made = dict(values)
    for name, kind in get_type_hints(config).items():
        if is_dataclass(kind) and isinstance(made.get(name), Mapping):
            made[name] = kind(**made[name])  # type: ignore[operator]  # a class, not an instance
    if "options" in made:
        made["options"] = {key: _tuple(value) for key, value in made["options"].items()}
    return config(**made)


def to_values(config: DataclassInstance) -> dict[str, Any]:
    """Return the values of a configuration, with nested dataclasses as mappings; the inverse of `from_values`.

    Example:
        >>> from vig_pyg.classification.config import Augmentation
        >>> to_values(Augmentation(flip=0))["flip"]
        0
    """
    return asdict(config)


def differing(config: DataclassInstance) -> dict[str, Any]:
    """Return the values that differ from the default, by dotted names; fields without a default are included.

    Example:
        >>> from vig_pyg.classification.config import Augmentation, ClassificationConfig
        >>> differing(ClassificationConfig(lr=0.1, augmentation=Augmentation(flip=0)))
        {'augmentation.flip': 0, 'lr': 0.1}
    """
    found: dict[str, Any] = {}
    for field in own_first(config):
        value = getattr(config, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            found |= {f"{field.name}.{name}": part for name, part in differing(value).items()}
        elif value != (field.default_factory() if field.default_factory is not MISSING else field.default):
            found[field.name] = value
    return found


def own_first(config: DataclassInstance) -> list[Field[Any]]:
    """Return the fields of a configuration, those of the task before those of `TrainConfig`.

    Example:
        >>> from vig_pyg.classification.config import ClassificationConfig
        >>> own_first(ClassificationConfig())[0].name
        'data'
    """
    inherited = {field.name for base in type(config).__bases__ if is_dataclass(base) for field in fields(base)}
    return sorted(fields(config), key=lambda field: field.name in inherited)  # the sort is stable


def to_yaml(config: DataclassInstance) -> str:
    """Return all values as YAML, those of the task before those of `TrainConfig`.

    Args:
        config: The configuration.

    Example:
        >>> from vig_pyg.classification.config import Augmentation
        >>> to_yaml(Augmentation()).splitlines()[-1]
        'erasing: 0.0'
    """
    values = to_values(config)
    ordered = {field.name: values[field.name] for field in own_first(config)}
    plain = json.loads(json.dumps(ordered, default=_code))  # tuples become lists
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def _code(value: Any) -> str:
    """Return where an operator or graph of the user's own is defined, in the form of the flags: `module:name`."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def _tuple(value: Any) -> Any:
    return tuple(_tuple(part) for part in value) if isinstance(value, list) else value
