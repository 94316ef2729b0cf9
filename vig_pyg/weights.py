"""Weights in our layout, the published code's ("official") and mmpretrain's."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vig_pyg.models import PyramidViG, ViG, VisionGNN
from vig_pyg.models.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS

KeyLayout = Literal["own", "official", "mmpretrain"]
State = dict[str, Tensor]

#: Keys under which files wrap their state dict, and the prefix that parallel training leaves on its keys.
WRAPPERS = ("state_dict", "model", "state_dict_ema")
PREFIX = "module."
#: Tables of the published pyramid that are computed here, not loaded.
COMPUTED = ".relative_pos"

_DAMAGED = (
    "{path} holds more than tensors, or is damaged; nothing in it was run. Download it again, or save its state dict "
    "alone: torch.save(model.state_dict(), path)."
)

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
# the longest first, the first that fits
_BLOCK = {
    "grapher.conv.mlp_src.": "0.graph_conv.gconv.nn1.",
    "grapher.conv.mlp.": "0.graph_conv.gconv.nn.",
    "grapher.conv.": "0.graph_conv.gconv.",
    "grapher.": "0.",
    "ffn.": "1.",
}
_SAGE_BLOCK = {**_BLOCK, "grapher.conv.mlp.": "0.graph_conv.gconv.nn2."}


def load_weights(model: VisionGNN[Any], source: str | Path | Mapping[str, Any]) -> None:
    """Load weights in any of the three layouts; every key must match.

    Args:
        model: The model that takes them; it stays as it was if anything does not fit.
        source: A path (`.safetensors`, or a file of `torch.save`, read without running code from it) or a state dict.
            The layout is recognised; wrappers such as `state_dict` and the prefix `module.` are taken off.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If keys are missing or unexpected, or shapes differ; the variant that the weights belong to is
            named where there is one.

    Example:
        >>> from vig_pyg import vig_micro, weights
        >>> weights.load_weights(vig_micro(), weights.convert(vig_micro(), "official"))
    """
    state = to_own(model, unwrap(source if isinstance(source, Mapping) else read_state(source)))
    expected = model.state_dict()
    problems = [
        f"{key} has shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    missing, unexpected = expected.keys() - state.keys(), state.keys() - expected.keys()
    problems += [f"missing: {_some(missing)}"] if missing else []
    problems += [f"unexpected: {_some(unexpected)}"] if unexpected else []
    if problems:
        raise ValueError(f"These weights do not fit this {type(model).__name__}{_fits(state)}: {_some(problems)}.")
    model.load_state_dict(state)


def convert(model: VisionGNN[Any], layout: KeyLayout) -> State:
    """The weights of a model in a layout (without the computed tables `relative_pos`).

    Args:
        model: The model.
        layout: `"own"`, `"official"` or `"mmpretrain"`.

    Raises:
        ValueError: If the layout is unknown.

    Example:
        >>> from vig_pyg import pvig_micro
        >>> "backbone.stages.1.0.0.weight" in convert(pvig_micro(), "mmpretrain")
        True
    """
    if layout == "own":
        return dict(model.state_dict())
    if layout not in _OUTER:
        raise ValueError(f"Unknown layout {layout!r}: choose one of own, official, mmpretrain.")
    names = _names(model, layout)
    return {
        # a linear map is a 1x1 convolution there, but for mmpretrain's head
        names[key]: tensor[..., None, None] if tensor.dim() == 2 and not names[key].startswith("head.") else tensor
        for key, tensor in model.state_dict().items()
    }


def read_state(path: str | Path) -> Mapping[str, Any]:
    """The content of a file of weights; nothing in it is executed."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file of weights at {path}.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError  # an extra; files of torch.save do without it
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(_DAMAGED.format(path=path)) from error
    with path.open("rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise ValueError(_DAMAGED.format(path=path)) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a state dict.")
    return state


def unwrap(state: Mapping[str, Any]) -> State:
    """A plain state dict, without wrapper and prefix."""
    for wrapper in WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not state:
        raise ValueError("Expected a state dict of tensors, got an empty one.")
    if all(key.startswith(PREFIX) for key in state):
        state = {key.removeprefix(PREFIX): value for key, value in state.items()}
    wrong = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ValueError(f"Expected a state dict of tensors, got other things at {_some(wrong)}.")
    return dict(state)


def detect_layout(state: Mapping[str, Any]) -> KeyLayout:
    """The layout of a state dict, by its keys."""
    if any(key.startswith(("backbone.blocks.", "backbone.stages.", "backbone.stem.")) for key in state):
        return "mmpretrain"
    return "official" if any(key.startswith(("backbone.", "prediction.")) for key in state) else "own"


def to_own(model: VisionGNN[Any], state: State) -> State:
    """A state dict of any layout in our names and shapes; keys without a counterpart stay as they are."""
    layout = detect_layout(state)
    if layout == "own":
        return state
    names = {foreign: own for own, foreign in _names(model, layout).items()}
    return {
        names.get(key, key): tensor.flatten(1) if tensor.shape[2:] == (1, 1) else tensor
        for key, tensor in state.items()
        if not key.endswith(COMPUTED)
    }


def _names(model: VisionGNN[Any], layout: str) -> dict[str, str]:
    """Our keys and their names in another layout."""
    keys = list(model.state_dict())
    block = _SAGE_BLOCK if any(".conv.mlp_src." in key for key in keys) else _BLOCK
    blocks = _official_blocks(model) if layout == "official" else _mmpretrain_blocks(model)
    return {key: _name(key, blocks, block, _OUTER[layout]) for key in keys}


def _name(key: str, blocks: dict[str, str], block: dict[str, str], outer: dict[str, str]) -> str:
    for own, foreign in blocks.items():
        if key.startswith(own):
            return foreign + _replace(key.removeprefix(own), block)
    return _replace(key, outer)


def _replace(key: str, prefixes: dict[str, str]) -> str:
    for own, foreign in prefixes.items():
        if key.startswith(own):
            return foreign + key.removeprefix(own)
    return key


def _official_blocks(model: VisionGNN[Any]) -> dict[str, str]:
    """Prefixes of blocks: there one flat list `backbone`, Downsamples among the blocks."""
    if isinstance(model, ViG):
        return {f"blocks.{i}.": f"backbone.{i}." for i in range(model.config.depth)}
    names: dict[str, str] = {}
    for own in _stage_elements(model):
        names[own] = f"backbone.{len(names)}." + "conv." * own.endswith("downsample.")
    return names


def _mmpretrain_blocks(model: VisionGNN[Any]) -> dict[str, str]:
    """Prefixes of blocks: there a Downsample is the first element of its stage."""
    if isinstance(model, ViG):
        return {f"blocks.{i}.": f"backbone.blocks.{i}." for i in range(model.config.depth)}
    names: dict[str, str] = {}
    for own in _stage_elements(model):
        stage = own.split(".")[1]
        place = sum(other.startswith(f"stages.{stage}.") for other in names)
        names[own] = f"backbone.stages.{stage}.{place}."
    return names


def _stage_elements(model: VisionGNN[Any]) -> list[str]:
    assert isinstance(model, PyramidViG)
    elements = []
    for s, depth in enumerate(model.config.depths):
        elements += [f"stages.{s}.downsample."] * (s > 0) + [f"stages.{s}.blocks.{j}." for j in range(depth)]
    return elements


def _fits(state: State) -> str:
    """The variant that a state dict belongs to, as words, by its widths and its number of blocks."""
    graphers = sum(key.endswith((".grapher.fc2.0.bias", ".0.fc2.0.bias")) for key in state)
    widths = {tensor.size(1) for key, tensor in state.items() if key.endswith("pos_embed.weight")}
    known = {f"vig_{name}": (config.channels, config.depth) for name, config in VIG_VARIANTS.items()}
    known |= {f"pvig_{name}": (config.channels[0], config.num_blocks) for name, config in PYRAMID_VIG_VARIANTS.items()}
    names = [name for name, shape in known.items() if widths == {shape[0]} and graphers == shape[1]]
    return f" (they look like {names[0]})" if names else ""


def _some(items: Iterable[str]) -> str:
    ordered = sorted(items)
    return "; ".join(ordered[:4]) + (f"; and {len(ordered) - 4} more" if len(ordered) > 4 else "")
