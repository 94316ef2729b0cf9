"""Settings from a preset, a YAML file and the command line, and back to YAML."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from vig_pyg._io.bounded_yaml import parse_yaml
from vig_pyg._io.bounded_yaml import read_yaml as read_bounded_yaml
from vig_pyg._io.text import terminal_text
from vig_pyg.classification.config import PRESETS, ClassificationConfig

_TYPES = get_type_hints(ClassificationConfig)


def settings(preset: str, *overrides: tuple[str, Mapping[str, Any]]) -> ClassificationConfig:
    """A preset with values overridden, the last one wins.

    Args:
        preset: A name of `PRESETS`.
        overrides: Pairs of a name for error messages, such as a file's, and values; text is converted. `options`
            replace those that are there; a key such as `options.k` sets one. With another model than the preset's, the
            preset's own options are left out, since they are that model's; its `patch_size` stays as long as
            `image_size` does, since it is chosen for the size of the images.

    Raises:
        ValueError: If the preset, a key or a value is wrong; an unknown key is told with the nearest valid one.

    Example:
        >>> settings("digits", ("the command line", {"lr": "1e-3"})).lr
        0.001
    """
    if preset not in PRESETS:
        raise ValueError(f"Unknown preset {preset!r}{_nearest(preset, list(PRESETS))}")
    base = PRESETS[preset]
    changes: dict[str, Any] = {}
    own, given = dict(base.options), {}
    for where, values in overrides:
        for key, value in values.items():
            if key == "options":
                own, given = {}, _options(value, where)
            elif not key.startswith("options."):
                changes[key] = _convert(key, value, where)
        for key, value in values.items():
            if key.startswith("options."):
                given[key.removeprefix("options.")] = _plain(value, f"{key} in {where}")
    made = replace(base, **changes)
    if made.model != base.model:
        own = {key: own[key] for key in ("patch_size",) if key in own and made.image_size == base.image_size}
    return replace(made, options={**own, **given}).resolved()


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The values of a YAML file, to be given to `settings`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a YAML mapping, or is larger than settings are.
    """
    return read_bounded_yaml(path)


def to_yaml(values: ClassificationConfig) -> str:
    """Every value as YAML, in the order of the fields of `ClassificationConfig`' parts.

    Example:
        >>> to_yaml(PRESETS["digits"]).splitlines()[0]
        'data: digits'
    """
    names = [f.name for f in fields(ClassificationConfig)]
    start = names.index("data")
    plain = asdict(values)
    ordered = {name: _yaml_value(plain[name]) for name in names[start:] + names[:start]}
    return str(yaml.safe_dump(ordered, sort_keys=False))


def parse_set(pairs: list[str]) -> dict[str, Any]:
    """`key=value` pairs of a command line.

    Raises:
        ValueError: If a pair has no `=`.
    """
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, got {pair!r}.")
        values[key.strip()] = value.strip()
    return values


def _yaml_value(value: Any) -> Any:
    """Tuples as lists, as YAML has it."""
    if isinstance(value, tuple | list):
        return [_yaml_value(part) for part in value]
    if isinstance(value, dict):
        return {key: _yaml_value(part) for key, part in value.items()}
    return value


def _plain(value: Any, where: str) -> Any:
    """Text as YAML reads it, lists as the tuples of configurations."""
    if isinstance(value, str):
        value = parse_yaml(value, where=where)
    return tuple(value) if isinstance(value, list) else value


def _options(value: Any, where: str) -> dict[str, Any]:
    value = parse_yaml(value, where=f"options of {where}") if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise ValueError(f"options of {where} must be a mapping such as {{conv: mr, k: 9}}, got {_shown(value)}.")
    return {str(key): _plain(part, f"options.{key} in {where}") for key, part in value.items()}


def _convert(key: str, value: Any, where: str) -> Any:
    if key not in _TYPES:
        raise ValueError(f"Unknown key {_shown(key)} in {where}{_nearest(key, list(_TYPES))}")
    wanted = _TYPES[key]
    choices = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    for choice in choices:
        converted = _as(choice, value)
        if converted is not _WRONG:
            return converted
    said = " or ".join(_name(choice) for choice in choices)
    raise ValueError(f"{key} in {where} must be {said}, got {_shown(value)}.")


_WRONG = object()


def _shown(value: Any) -> str:
    huge = isinstance(value, int) and abs(value) > 10**40  # its digits would take long to write
    return "a huge number" if huge else terminal_text(repr(value), limit=80)


def _as(kind: Any, value: Any) -> Any:
    """The value as a type; text is read as a command line means it."""
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _WRONG
    if kind is type(None):
        return None if value is None or value in ("null", "none", "None") else _WRONG
    if kind is str:
        return value if isinstance(value, str) and value not in ("null", "none", "None") else _WRONG
    if kind is bool:
        return {"true": True, "false": False}.get(str(value).lower(), _WRONG)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _WRONG
    try:
        number = float(value)
        if not math.isfinite(number):
            return _WRONG
        return number if kind is float else int(number) if number.is_integer() else _WRONG
    except (ValueError, OverflowError):
        return _WRONG


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, "null")


def _nearest(key: str, known: list[str]) -> str:
    close = get_close_matches(key[:100], known, n=1, cutoff=0.5)
    meant = f": did you mean {close[0]!r}?" if close else "."
    return f"{meant} Valid are {', '.join(known)}."
