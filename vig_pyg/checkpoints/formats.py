"""Conversion of weight names between the native format, that of the published code ("official"), and mmpretrain's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vig_pyg.checkpoints._elements import mmpretrain_elements, official_elements
from vig_pyg.checkpoints.hybrid_format import (
    hybrid_native_names,
    hybrid_style,
    hybrid_to_native,
    hybrid_to_official,
    native_style,
)
from vig_pyg.checkpoints.metadata import kept_text, with_text

Format = Literal["native", "official", "mmpretrain"]
State = dict[str, Tensor]
FORMATS: tuple[Format, ...] = get_args(Format)

#: A weight that every Vision GNN has.
POSITION = "pos_embed.weight"

_OUTER = {
    "official": {
        "stem.": "stem.convs.",
        "pos_embed.weight": "pos_embed",
        "head.fc1.": "prediction.0.",
        "head.norm.": "prediction.1.",
        "head.fc2.": "prediction.4.",
    },
    "mmpretrain": {
        "stem.": "backbone.stem.",
        "pos_embed.weight": "backbone.pos_embed",
        "head.fc1.": "head.fc1.",
        "head.norm.": "head.bn.",
        "head.fc2.": "head.fc2.",
    },
}
# sorted by length, because the first name that fits is used
_BLOCK = {
    "grapher.conv.mlp_src.": "0.graph_conv.gconv.nn1.",
    "grapher.conv.mlp.": "0.graph_conv.gconv.nn.",
    "grapher.conv.": "0.graph_conv.gconv.",
    "grapher.": "0.",
    "ffn.": "1.",
}
_SAGE_BLOCK = {**_BLOCK, "grapher.conv.mlp.": "0.graph_conv.gconv.nn2."}
_BLOCK_BACK = {theirs: ours for ours, theirs in _BLOCK.items()}
_SAGE_BLOCK_BACK = {theirs: ours for ours, theirs in _SAGE_BLOCK.items()}

_ELEMENT = re.compile(r"blocks\.\d+\.|stages\.\d+\.(?:downsample|blocks\.\d+)\.")
_TABLE = re.compile(r"stages\.([0-9]+)\.blocks\.[0-9]+\.grapher\.(?:relative_pos|attn_mask|adj_mask)")


def convert(source: nn.Module | Mapping[str, Tensor], format: Format) -> State:
    """Convert weights to a format, without the computed tables `relative_pos`.

    Args:
        source: A model, or a state dict in any of the three formats.
        format: `"native"`, `"official"` or `"mmpretrain"`.

    Shapes: the weight `(out, in)` of a linear layer to `(out, in, 1, 1)` in the other formats, except in mmpretrain's
    head; other shapes do not change.

    Returns:
        A state dict whose tensors share memory with those of the source. It records the same configuration as the
        source.

    Raises:
        ValueError: If the format is unknown, the state dict is not that of a Vision GNN, or two keys mean the same
            tensor.
        TypeError: If the source is neither a model nor a state dict.

    Example:
        >>> from vig_pyg import pvig_micro
        >>> "backbone.stages.1.0.0.weight" in convert(pvig_micro(), "mmpretrain")
        True
    """
    if format not in FORMATS:
        raise ValueError(f"Unknown format {format!r}: choose one of {', '.join(FORMATS)}.")
    if not isinstance(source, (nn.Module, Mapping)):
        raise TypeError(
            f"Expected a model or a state dict, got {source!r}: read a file with read_state and unwrap_state_dict "
            "first."
        )
    state = source.state_dict() if isinstance(source, nn.Module) else to_native(source)
    text = kept_text(state)
    style = native_style(state, text)
    if style is None and POSITION not in state:
        raise ValueError(f"These are not weights of a Vision GNN: they have no {POSITION}, but {shorten(state)}.")
    if format == "native":
        return with_text(state, text)
    if style is not None:
        if format != "official":
            raise ValueError(f"mmpretrain has no format for {style}: choose 'native' or 'official'.")
        return with_text(hybrid_to_official(state, style), text)
    foreign = foreign_names(state, format)
    _refuse_collisions(foreign)
    converted = {
        # other formats store linear layers as 1x1 convolutions, except mmpretrain's head
        foreign[key]: tensor[..., None, None] if tensor.dim() == 2 and not foreign[key].startswith("head.") else tensor
        for key, tensor in state.items()
    }
    return with_text(converted, text)


def shorten(items: Iterable[str]) -> str:
    """Return the first values in sorted order, as text."""
    ordered = sorted(items)
    return "; ".join(ordered[:4]) + (f"; and {len(ordered) - 4} more" if len(ordered) > 4 else "")


def detect_format(state: Mapping[str, Any]) -> Format:
    """Detect the format of a state dict from its keys.

    Args:
        state: The state dict, without wrappers and prefixes.

    Example:
        >>> detect_format({"prediction.0.weight": None, "stem.convs.0.weight": None})
        'official'
    """
    if any(key.startswith(("backbone.blocks.", "backbone.stages.", "backbone.stem.")) for key in state):
        return "mmpretrain"
    return "official" if any(key.startswith(("backbone.", "prediction.")) for key in state) else "native"


def to_native(state: Mapping[str, Tensor], *, one_stage: bool = False) -> State:
    """Convert a state dict of any format to native names and shapes; keys without a counterpart are not changed.

    Args:
        state: The state dict, without wrappers and prefixes.
        one_stage: True for a Pyramid ViG with one stage, because its official format looks like that of a `ViG`.

    Shapes: the weight `(out, in, 1, 1)` of a linear layer to `(out, in)`; other shapes do not change.

    Raises:
        ValueError: If two keys mean the same tensor.

    Example:
        >>> from vig_pyg import vig_micro
        >>> model = vig_micro()
        >>> sorted(to_native(convert(model, "official"))) == sorted(model.state_dict())
        True
    """
    names = native_names(state, one_stage=one_stage)
    if detect_format(state) == "native":
        return with_text(state, kept_text(state))
    if hybrid_style(state) is not None:
        return with_text(hybrid_to_native(state), kept_text(state))
    own = {
        names[key]: tensor.flatten(1) if _is_linear(names[key], tensor) else tensor
        for key, tensor in state.items()
        if table_stage(names[key]) is None
    }
    return with_text(own, kept_text(state))


def native_names(state: Mapping[str, Any], *, one_stage: bool = False) -> dict[str, str]:
    """Return the native name of each key of a state dict (see `to_native`).

    Args:
        one_stage: True for a Pyramid ViG with one stage, as for `to_native`.

    Raises:
        ValueError: If two keys mean the same tensor.

    Example:
        >>> native_names({"stem.0.weight": None})
        {'stem.0.weight': 'stem.0.weight'}
    """
    format = detect_format(state)
    if format == "native":
        return {key: key for key in state}
    if hybrid_style(state) is not None:
        names = hybrid_native_names(state)
        _refuse_collisions(names)
        return names
    elements = official_elements(state, one_stage) if format == "official" else mmpretrain_elements(state)
    back = {theirs: ours for ours, theirs in _prefixes(elements, format).items()}
    outer = {theirs: ours for ours, theirs in _OUTER[format].items()}
    block = _SAGE_BLOCK_BACK if any(".gconv.nn1." in key for key in state) else _BLOCK_BACK
    names = {key: _own_name(key, back, outer, block) for key in state}
    _refuse_collisions(names)
    return names


def _is_linear(name: str, tensor: Tensor) -> bool:
    """True for the weight of a linear layer as a 1x1 convolution, not for a one-patch position embedding."""
    return tensor.shape[2:] == (1, 1) and tensor.layout == torch.strided and name != POSITION


def table_stage(name: str) -> int | None:
    """Return the stage of a published table of positions or masks, which a model computes itself, or `None`.

    Example:
        >>> table_stage("stem.0.weight") is None
        True
    """
    match = _TABLE.fullmatch(name)
    return int(match[1]) if match else None


def _refuse_collisions(names: Mapping[str, str]) -> None:
    """Raise an error if two keys mean the same tensor, because one of them would be lost."""
    seen: dict[str, str] = {}
    for key, name in names.items():
        if name in seen:
            raise ValueError(f"These weights contain {name} twice, as {seen[name]} and as {key}: remove one of them.")
        seen[name] = key


def foreign_names(own: Iterable[str], format: str) -> dict[str, str]:
    """Return the native keys and their names in another format.

    Example:
        >>> foreign_names(["pos_embed.weight"], "official")
        {'pos_embed.weight': 'pos_embed'}
    """
    keys = list(own)
    block = _SAGE_BLOCK if any(".conv.mlp_src." in key for key in keys) else _BLOCK
    elements = sorted({match[0] for key in keys if (match := _ELEMENT.match(key))}, key=_order)
    prefixes = _prefixes(elements, format)
    names = {}
    for key in keys:
        match = _ELEMENT.match(key)
        if match:
            names[key] = prefixes[match[0]] + _replace(key.removeprefix(match[0]), block)
        else:
            names[key] = _replace(key, _OUTER[format])
    return names


def _own_name(key: str, elements: dict[str, str], outer: dict[str, str], block: dict[str, str]) -> str:
    for theirs, ours in elements.items():
        if key.startswith(theirs):
            rest = key.removeprefix(theirs)
            return ours + (rest if ours.endswith("downsample.") else _replace(rest, block))
    return _replace(key, outer)


def _replace(key: str, prefixes: dict[str, str]) -> str:
    for one, other in prefixes.items():
        if key.startswith(one):
            return other + key.removeprefix(one)
    return key


def _order(element: str) -> tuple[int, int]:
    """Return a sort key: blocks by number, and a Downsample before the blocks of its stage."""
    numbers = [int(part) for part in element.split(".") if part.isdigit()]
    return (numbers[0], numbers[1] if len(numbers) > 1 else -1)


def _prefixes(elements: list[str], format: str) -> dict[str, str]:
    """Return the native prefixes of blocks and Downsamples in order, with the prefixes of the other format.

    The official format has one flat list `backbone`, with Downsamples among the blocks. In mmpretrain's format, a
    Downsample is the first element of its stage.
    """
    if format == "official":
        return {ours: f"backbone.{i}." + "conv." * ours.endswith("downsample.") for i, ours in enumerate(elements)}
    places: dict[str, str] = {}
    for ours in elements:
        stage = ".".join(ours.split(".")[:2])
        place = sum(other.startswith(f"{stage}.") for other in places)
        places[ours] = f"backbone.{stage}.{place}." if ours.startswith("stages.") else f"backbone.{ours}"
    return places
