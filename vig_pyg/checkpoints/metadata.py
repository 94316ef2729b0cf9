"""The configuration of a network, recorded together with its weights.

A state dict of this library stores it in `_metadata`, which `torch.save` and `deepcopy` preserve. A `.safetensors` file
stores it in its header. Weights that were copied into a plain dict, or come from other software, have no record.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from torch import Tensor

from vig_pyg._requirements import missing_message
from vig_pyg.config import ModelConfig
from vig_pyg.conv import CONVS
from vig_pyg.graph import DilatedKNN, Lookahead, Reuse, each_graph, has_stages

#: Name of the entry, in the header of a file and in a state dict's `_metadata`.
KEY = "vig_pyg.config"
#: Options of `DilatedKNN` other than k and dilation.
_FREE = {"stochastic", "epsilon", "engine", "knn_precision", "position"}


def describe(config: ModelConfig) -> dict[str, Any]:
    """Convert a configuration to plain values for JSON.

    A registered callable is represented by its name in `CONVS` or `GRAPHS`, any other callable by its qualified name,
    and one without a unique name (a lambda, or a nested function) by `None`. A `graph` that is `DilatedKNN` with
    options is represented by `"knn"` and its `position`. A graph for each stage is a list of names, or `None` if one of
    them has no name.

    Example:
        >>> from vig_pyg import vig_micro
        >>> describe(vig_micro(conv="gin").config)["conv"]
        'gin'
    """
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    position = values.get("position")
    found = [_named_graph(graph, position) for graph in each_graph(config.graph)]
    names = [name for name, _ in found]
    graph = (None if None in names else names) if has_stages(config.graph) else names[0]
    positions = list(dict.fromkeys(one for name, one in found if name == "knn"))
    if positions:  # several only if the stages search with different positions
        position = positions[0] if len(positions) == 1 else positions
    conv: Any = config.conv
    if isinstance(conv, partial) and conv.func in CONVS.values() and conv.keywords.keys() <= {"heads"}:
        conv = conv if conv.args else conv.func
    ours = {operator: name for name, operator in CONVS.items()}
    values |= {"conv": ours.get(conv) or place_of(conv), "graph": graph, "position": position}
    return {"family": type(config).__name__.removesuffix("Config"), **values}


def _named_graph(graph: Any, position: Any) -> tuple[str | None, Any]:
    """Return the name of a graph, and the positions of its search, by default those of the configuration."""
    if graph is None or graph is DilatedKNN:
        return "knn", position if graph is None else None
    if isinstance(graph, partial) and graph.func is DilatedKNN and not graph.args and graph.keywords.keys() <= _FREE:
        return "knn", graph.keywords.get("position")
    return place_of(graph), position


def to_text(config: ModelConfig) -> str:
    """Convert the configuration to the JSON text that is recorded.

    Example:
        >>> from vig_pyg import vig_micro
        >>> from_text(to_text(vig_micro().config))["family"]
        'ViG'
    """
    return json.dumps(describe(config))


def from_text(text: object) -> dict[str, Any]:
    """Parse the configuration in a recorded text.

    Example:
        >>> from_text('{"k": 9}')
        {'k': 9}
    """
    try:
        values = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ValueError(
            f"The entry {KEY!r} of these weights is not a configuration ({str(text)[:40]!r}): the file is damaged, or "
            "other software wrote it. To load the tensors without it, copy them into a plain dict."
        )
    return values


def kept_text(state: Mapping[str, Any], prefix: str = "") -> str | None:
    """Return the text that a state dict records for the network under a prefix such as `module.`, or `None`.

    Example:
        >>> kept_text({}) is None, kept_text(with_text({}, "{}"))
        (True, '{}')
    """
    metadata = getattr(state, "_metadata", None)
    entry = metadata.get(prefix.removesuffix(".")) if isinstance(metadata, Mapping) else None
    return entry.get(KEY) if isinstance(entry, Mapping) else None


def with_text(state: Mapping[str, Tensor], text: str | None) -> dict[str, Tensor]:
    """Return a copy of a state dict with a text in `_metadata`, where `torch.nn.Module.state_dict` stores metadata.

    Example:
        >>> kept_text(with_text({}, '{"k": 9}'))
        '{"k": 9}'
    """
    copy = OrderedDict(state)
    if text is not None:
        setattr(copy, "_metadata", OrderedDict({"": {KEY: text}}))  # noqa: B010  (a dict has no such attribute for mypy)
    return copy


def to_safetensors(state: Mapping[str, Tensor]) -> bytes:
    """Serialize a state dict with its recorded configuration as `.safetensors`; equal state dicts give equal bytes.

    Args:
        state: Tensors on any device, none of which share memory.

    Raises:
        ImportError: If safetensors is not installed.

    Example:
        >>> import torch
        >>> to_safetensors({"a": torch.zeros(1)})[8:44]
        b'{"__metadata__":{"format":"pt"},"a":'
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ImportError(missing_message(".safetensors files need safetensors", "hub")) from error
    text = kept_text(state)
    content = save({key: tensor.detach().cpu().contiguous() for key, tensor in state.items()})
    size = int.from_bytes(content[:8], "little")
    # safetensors itself writes several entries in random order, so equal runs would give different files
    header = {
        "__metadata__": {"format": "pt", **({} if text is None else {KEY: text})},
        **json.loads(content[8 : 8 + size]),
    }
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + memoryview(content)[8 + size :]


def place_of(value: Any) -> str | None:
    """Return a name that identifies the callable in every process, or `None` if it has no such name.

    Example:
        >>> place_of(len), place_of(lambda: 0)
        ('builtins.len', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Reuse):
        inner = place_of(value.factory)
        return inner and f"Reuse({inner}, every={value.every})"
    if isinstance(value, Lookahead):
        inner = place_of(value.factory)
        return inner and f"Lookahead({inner})"
    if isinstance(value, partial):
        inner, options = place_of(value.func), [*map(repr, value.args)]
        options += [f"{key}={option!r}" for key, option in sorted(value.keywords.items())]
        # An address does not identify the object in another process.
        plain = not any(" at 0x" in option for option in options)
        return f"partial({', '.join([inner, *options])})" if inner and plain else None
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}.{name}" if isinstance(name, str) and "<" not in name else None
