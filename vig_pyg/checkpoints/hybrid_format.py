"""The weight names and shapes of the published MobileViG, GreedyViG and MobileViGv2.

All three store linear layers as 1x1 convolutions. Where our max-relative convolutions interleave a node and its maxima
channel by channel, theirs write the node first and the maxima after it, so the columns of the next layer are permuted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from vig_pyg.checkpoints._hybrid_names import GRAPH, GRAPH_MOBILEVIG, LOCAL, LOCAL_MOBILEVIG, OUTER
from vig_pyg.checkpoints.metadata import from_text

Style = Literal["mobilevig", "greedyvig", "mobilevigv2"]

_STAGE = re.compile(r"stages\.(\d+)\.(?:downsample|blocks\.(\d+))\.")
#: A published element: its list, its number (a stage, in lists of stages), and its number in the stage.
_ELEMENT = re.compile(
    r"(local_backbone|backbone)\.([0-9]{1,6})\.(?:([0-9]{1,6})\.(?=conv\.|dws\.|mixer\.|ffn\.|layer_))?"
)
_UPDATE = ".conv.mlp.0.weight"


def hybrid_style(state: Mapping[str, Any]) -> Style | None:
    """Detect which published family a state dict in the official format belongs to; `None` for all others.

    Example:
        >>> hybrid_style({"stem.stem.0.weight": 0, "local_backbone.0.mlp.fc1.weight": 0})
        'mobilevig'
    """
    if not any(key.startswith("stem.stem.") for key in state):
        return None
    if any(key.startswith("local_backbone.") for key in state):
        return "mobilevig"
    scales = [key for key in state if key.endswith(("layer_scale_1", "layer_scale_2"))]
    local = [key for key in scales if f"{key.rpartition('.')[0]}.dws.pw1.weight" in state]
    if local:  # the convolutional blocks of the two families name their scale differently
        return "mobilevigv2" if local[0].endswith("1") else "greedyvig"
    return "mobilevigv2" if any(getattr(state[key], "ndim", 1) == 3 for key in scales) else "greedyvig"


def native_style(state: Mapping[str, Any], text: str | None) -> Style | None:
    """Return the family of a native state dict, or `None` if it is not one of the three families.

    Args:
        text: The recorded configuration (see `metadata`), or `None`. Without it, MobileViGv2 is distinguished from
            GreedyViG by its first stage, which has no graph.

    Example:
        >>> native_style({"stages.0.blocks.0.conv.0.weight": 0, "stages.3.blocks.0.grapher.fc1.0.weight": 0}, None)
        'mobilevig'
    """
    family = _recorded_family(text)
    if family in get_args(Style):
        return cast(Style, family)
    if not any(re.fullmatch(r"stages\.\d+\.blocks\.\d+\.conv\.0\.weight", key) for key in state):
        return None
    if not any(".grapher.position." in key for key in state):
        return "mobilevig"
    first = any(re.match(r"stages\.0\.blocks\.\d+\.grapher\.", key) for key in state)
    return "greedyvig" if first else "mobilevigv2"


def _recorded_family(text: str | None) -> str:
    try:
        return "" if text is None else str(from_text(text).get("family", "")).lower()
    except ValueError:  # a damaged record, which is reported where it is compared
        return ""


def hybrid_shape(state: Mapping[str, Any]) -> tuple[object, ...] | None:
    """Return widths, convolutional blocks and graph blocks of each stage of a native state dict, or `None`.

    The result is that of `HybridViGConfig.shape`. It is `None` for networks without convolutional blocks.

    Example:
        >>> hybrid_shape({"pos_embed.weight": 0}) is None
        True
    """
    local: dict[int, int] = {}
    graph: dict[int, int] = {}
    widths: dict[int, int] = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"stages\.([0-9]{1,3})\.blocks\.[0-9]+\.(grapher\.)?fc2\.0\.bias", key)
        if match is not None:
            stage, counted = int(match[1]), local if match[2] is None else graph
            counted[stage] = counted.get(stage, 0) + 1
            widths[stage] = tensor.numel()
    if not local or sorted(widths) != list(range(len(widths))):
        return None
    of_stages = [tuple(found.get(stage, 0) for stage in range(len(widths))) for found in (widths, local, graph)]
    return tuple(of_stages)


def hybrid_names(own: Iterable[str], style: Style) -> dict[str, str]:
    """Return the native keys of a model and their published names.

    Example:
        >>> hybrid_names(["stages.1.downsample.0.bias"], "greedyvig")
        {'stages.1.downsample.0.bias': 'backbone.1.0.conv.0.bias'}
    """
    keys = list(own)
    elements = sorted({match[0] for key in keys if (match := _STAGE.match(key))}, key=_order)
    local = {element for element in elements if not any(key.startswith(f"{element}grapher.") for key in keys)}
    places = _flat(elements, local) if style == "mobilevig" else _staged(elements)
    inner = _inner(style)
    names = {}
    for key in keys:
        match = _STAGE.match(key)
        if match is None:
            names[key] = _replaced(key, OUTER)
        else:
            rest = key.removeprefix(match[0])
            names[key] = places[match[0]] + (
                f"conv.{rest}" if match[2] is None else _replaced(rest, inner[match[0] not in local])
            )
    return names


def hybrid_native_names(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the native name of each key of a published state dict; keys without a counterpart are not changed.

    Example:
        >>> state = {"stem.stem.0.bias": 0, "backbone.1.0.conv.0.weight": 0}
        >>> hybrid_native_names(state)["backbone.1.0.conv.0.weight"]
        'stages.1.downsample.0.weight'
    """
    style = hybrid_style(state)
    assert style is not None
    elements = _flat_elements(state) if style == "mobilevig" else _staged_elements(state)
    local, graph = _inner(style)
    names = {}
    for key in state:
        match = _ELEMENT.match(key)
        if match is None or match[0] not in elements:
            names[key] = _replaced(key, {theirs: ours for ours, theirs in OUTER.items()})
            continue
        ours, kind = elements[match[0]]
        back = {theirs: own for own, theirs in {"local": local, "graph": graph, "down": {"": "conv."}}[kind].items()}
        rest = key.removeprefix(match[0])
        new = _replaced(rest, back)
        names[key] = key if new == rest else ours + new
    return names


def hybrid_to_native(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a published state dict to native names and shapes; keys without a counterpart are not changed.

    Example:
        >>> published = {"stem.stem.0.bias": torch.zeros(2), "head.weight": torch.zeros(3, 2, 1, 1)}
        >>> hybrid_to_native(published)["head.fc2.weight"].shape
        torch.Size([3, 2])
    """
    return {ours: _own(ours, state[theirs]) for theirs, ours in hybrid_native_names(state).items()}


def hybrid_to_official(state: Mapping[str, Tensor], style: Style) -> dict[str, Tensor]:
    """Convert a native state dict to published names and shapes; the inverse of `hybrid_to_native`.

    Example:
        >>> hybrid_to_official({"head.fc2.weight": torch.zeros(3, 2)}, "greedyvig")["head.weight"].shape
        torch.Size([3, 2, 1, 1])
    """
    return {theirs: _published(ours, state[ours], style) for ours, theirs in hybrid_names(state, style).items()}


def _own(key: str, tensor: Tensor) -> Tensor:
    if key.endswith("scale.gamma"):
        return tensor.flatten()
    is_convolution = key.startswith("stem.") or ".position." in key
    if tensor.dim() == 4 and tensor.shape[2:] == (1, 1) and not is_convolution:
        tensor = tensor.flatten(1)  # (out, in, 1, 1) -> (out, in)
        if key.endswith(_UPDATE):  # (out, 2 C): x_1, ..., x_C, m_1, ..., m_C -> x_1, m_1, x_2, m_2, ...
            tensor = torch.stack(tensor.chunk(2, dim=1), dim=2).flatten(1)
    return tensor


def _published(key: str, tensor: Tensor, style: Style) -> Tensor:
    if key.endswith("scale.gamma"):
        return tensor if style == "greedyvig" else tensor[:, None, None]
    if tensor.dim() == 2:
        if key.endswith(_UPDATE):
            tensor = tensor.view(tensor.size(0), -1, 2).transpose(1, 2).flatten(1)  # the inverse of `_own`
        tensor = tensor[..., None, None]
    return tensor


def _inner(style: Style) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names inside convolutional blocks and inside graph blocks, native to published."""
    if style == "mobilevig":
        return LOCAL_MOBILEVIG, GRAPH_MOBILEVIG
    return {**LOCAL, "scale.gamma": "layer_scale_1" if style == "mobilevigv2" else "layer_scale_2"}, GRAPH


def _staged_elements(state: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the native prefix and the kind of each published element `backbone.STAGE.J.`."""
    elements: dict[str, tuple[str, str]] = {}
    places = {(int(match[2]), int(match[3])) for key in state if (match := _ELEMENT.match(key)) and match[3]}
    downs = {stage for stage, place in places if place == 0 and f"backbone.{stage}.0.conv.0.weight" in state}
    for stage, place in sorted(places):
        theirs = f"backbone.{stage}.{place}."
        if stage in downs and place == 0:
            elements[theirs] = f"stages.{stage}.downsample.", "down"
        else:
            kind = "graph" if any(key.startswith(f"{theirs}mixer.") for key in state) else "local"
            elements[theirs] = f"stages.{stage}.blocks.{place - (stage in downs)}.", kind
    return elements


def _flat_elements(state: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the native prefix and the kind of each published element `local_backbone.I.` or `backbone.I.`."""
    elements: dict[str, tuple[str, str]] = {}
    stage, block = 0, 0
    for room, kind in (("local_backbone", "local"), ("backbone", "graph")):
        found = {int(match[2]) for key in state if (match := _ELEMENT.match(key)) and match[1] == room}
        for i in sorted(found):
            theirs = f"{room}.{i}."
            if f"{theirs}conv.0.weight" in state:
                stage, block = stage + 1, 0
                elements[theirs] = f"stages.{stage}.downsample.", "down"
            else:
                elements[theirs] = f"stages.{stage}.blocks.{block}.", kind
                block += 1
    return elements


def _order(element: str) -> tuple[int, int]:
    match = _STAGE.match(element)
    assert match is not None
    return int(match[1]), -1 if match[2] is None else int(match[2])


def _staged(elements: list[str]) -> dict[str, str]:
    """Return the places `backbone.STAGE.J`, with a Downsample as the first element of its stage."""
    places: dict[str, str] = {}
    for element in elements:
        stage, _ = _order(element)
        place = sum(_order(other)[0] == stage for other in places)
        places[element] = f"backbone.{stage}.{place}."
    return places


def _flat(elements: list[str], local: set[str]) -> dict[str, str]:
    """Return the places: `local_backbone.I` for convolutional blocks and Downsamples, `backbone.I` for graph blocks."""
    places: dict[str, str] = {}
    count = {True: 0, False: 0}
    for element in elements:
        is_local = element in local
        if is_local and count[False]:
            raise ValueError(
                "The published format of MobileViG stores graph blocks after all other blocks, but this network has "
                "another order: choose the format 'native'."
            )
        places[element] = f"{'local_backbone' if is_local else 'backbone'}.{count[is_local]}."
        count[is_local] += 1
    return places


def _replaced(key: str, prefixes: Mapping[str, str]) -> str:
    for one, other in prefixes.items():
        if key.startswith(one):
            return other + key.removeprefix(one)
    return key
