"""Weights into a model, and a report of what was done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS, PyramidViGConfig, variant_name
from vig_pyg.weights.download import download
from vig_pyg.weights.layouts import POSITION, KeyLayout, State, detect_layout, some, to_own
from vig_pyg.weights.read import read_state, unwrap
from vig_pyg.weights.table import TABLE, Weights, get

_log = logging.getLogger(__name__)

#: The classifier's last map, which depends on the number of classes.
LAST = ("head.fc2.weight", "head.fc2.bias")

Source = str | Path | Weights | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `load_weights` did.

    Args:
        source: Where the weights came from, in words.
        layout: The layout that was recognised.
        loaded: Our names of the tensors that were loaded.
        left_out: Our names of tensors of the model that keep what they had.
        notes: What a user should know, in words.
    """

    source: str
    layout: KeyLayout
    loaded: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        first = f"Loaded {len(self.loaded)} tensors from {self.source} ({self.layout} layout)."
        return "\n".join([first, *self.notes])


def load_weights(model: nn.Module, source: Source, *, progress: bool = True) -> Report:
    """Load weights in any of the three layouts; the model stays as it was if they do not fit.

    A position embedding of another grid is resized (bicubic). Weights of another number of classes are loaded without
    the classifier's last map, weights without a classifier without all of it; the report says so, and so does a
    warning in the log.

    Args:
        model: The model that takes them.
        source: A path (`.safetensors`, or a file of `torch.save`, read without running code from it), a URL (kept in
            the cache, see `download`), an entry of the table of weights or its name, or a state dict. The layout is
            recognised; wrappers such as `state_dict` and prefixes such as `module.` are taken off.
        progress: Whether a download shows a bar.

    Raises:
        FileNotFoundError: If the path does not exist.
        TypeError: If the source is none of these.
        ConnectionError: If a URL cannot be reached.
        ValueError: If the file is damaged or holds more than tensors, if keys are missing or unexpected, or if shapes
            differ; the variant that the weights belong to is named where there is one.

    Example:
        >>> from vig_pyg import vig_micro, weights
        >>> print(weights.load_weights(vig_micro(), weights.convert(vig_micro(), "official")))
        Loaded 171 tensors from a state dict (official layout).
    """
    where, raw = fetch(source, progress=progress)
    state = unwrap(raw)
    expected = model.state_dict()
    layout = detect_layout(state)
    one_stage = any(key.startswith("stages.0.") for key in expected) and "stages.1.downsample.0.weight" not in expected
    state = to_own(state, one_stage=one_stage)
    notes = _resize_position(state, expected) + _leave_classifier(state, expected)
    left_out = tuple(key for key in expected if key not in state) if notes else ()
    _check(model, state, {key: tensor for key, tensor in expected.items() if key not in left_out})
    model.load_state_dict(state, strict=False)
    notes += _position_note(model, layout)
    report = Report(source=where, layout=layout, loaded=tuple(state), left_out=left_out, notes=tuple(notes))
    for note in notes:
        _log.warning("%s: %s", where, note)
    return report


def load_published(model: Any, weights: str | Weights) -> Report:
    """Published weights into a model of their variant, which also gets their preprocessing and class names.

    Args:
        model: A `ViG` or `PyramidViG`.
        weights: An entry of the table, or the tag of one: `"imagenet1k"` or `"imagenet1k:mmpretrain"`.

    Raises:
        ValueError: If there are no such weights, or they are another variant's; else as `load_weights`.
    """
    config = model.config
    name = variant_name(config) or f"a {type(model).__name__} of other widths or depths"
    entry = weights if isinstance(weights, Weights) else get(f"{name}:{weights}")
    if entry.model != name:
        raise ValueError(f"{entry.name} are weights of {entry.model}, this model is {name}.")
    report = load_weights(model, entry)
    model.preprocessing = replace(entry.preprocessing, image_size=config.image_size, in_channels=config.in_channels)
    model.class_names = entry.categories if config.num_classes == len(entry.categories) else None
    return report


def looks_like(state: Mapping[str, Any]) -> str:
    """The name of the variant that a state dict belongs to, by its widths and its number of blocks; `""` if none."""
    graphers = sum(key.endswith((".grapher.fc2.0.bias", ".0.fc2.0.bias")) for key in state)
    widths = {tensor.size(1) for key, tensor in state.items() if key.endswith((POSITION, "pos_embed"))}
    known = {f"vig_{name}": (config.channels, config.depth) for name, config in VIG_VARIANTS.items()}
    known |= {f"pvig_{name}": (config.channels[0], config.num_blocks) for name, config in PYRAMID_VIG_VARIANTS.items()}
    return next((name for name, shape in known.items() if widths == {shape[0]} and graphers == shape[1]), "")


def fetch(source: Source, *, progress: bool = True) -> tuple[str, Mapping[str, Any]]:
    """Words for a source of weights, and its content, downloaded if need be; see `load_weights`."""
    if isinstance(source, Mapping):
        return "a state dict", source
    if isinstance(source, Weights):
        return source.name, read_state(download(source, progress=progress))
    if not isinstance(source, (str, Path)):
        raise TypeError(
            f"Expected a path, a URL, a state dict, or published weights, got a {type(source).__name__}"
            + (": pass its state_dict()." if isinstance(source, nn.Module) else ".")
        )
    names = {*TABLE, *(entry.model for entry in TABLE.values())}
    if source in names and not Path(source).exists():
        return fetch(get(str(source)), progress=progress)
    if not (isinstance(source, str) and source.startswith(("https://", "http://"))):
        return str(source), read_state(source)
    path = download(source, progress=progress)
    try:
        return source, read_state(path)
    except ValueError:
        path.unlink(missing_ok=True)  # its hash was not known: what cannot be read does not stay in the cache
        raise


def _check(model: nn.Module, state: State, expected: Mapping[str, Tensor]) -> None:
    problems = [
        f"{key} has shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    missing, unexpected = expected.keys() - state.keys(), state.keys() - expected.keys()
    problems += [f"missing: {some(missing)}"] if missing else []
    problems += [f"unexpected: {some(unexpected)}"] if unexpected else []
    if problems:
        variant = looks_like(state)
        hint = f" (they look like {variant})" if variant else ""
        raise ValueError(f"These weights do not fit this {type(model).__name__}{hint}: {some(problems)}.")


def _resize_position(state: State, expected: Mapping[str, Tensor]) -> list[str]:
    """Brings the position embedding to the model's grid."""
    if POSITION not in state or POSITION not in expected:
        return []
    have, want = state[POSITION], expected[POSITION]
    same_width = have.dim() == want.dim() and have.shape[:2] == want.shape[:2]
    if not same_width or have.shape == want.shape:
        return []
    resized = F.interpolate(have.float(), size=want.shape[2:], mode="bicubic")
    state[POSITION] = resized.to(have.dtype)
    old, new = (" x ".join(map(str, shape[2:])) for shape in (have.shape, want.shape))
    return [f"The position embedding was resized from {old} to {new} patches."]


def _leave_classifier(state: State, expected: Mapping[str, Tensor]) -> list[str]:
    """Takes out what depends on another number of classes."""
    heads = [key for key in state if key.startswith("head.")]
    if not any(key.startswith("head.") for key in expected):
        for key in heads:
            del state[key]
        return ["The model has no classifier: that of the file was left out."] if heads else []
    if not heads:
        return ["The file has no classifier: the model's stays as it was, untrained unless you trained it."]
    if any(key not in state or key not in expected for key in LAST):
        return []
    have, want = state[LAST[0]], expected[LAST[0]]
    if have.shape[1:] != want.shape[1:] or have.size(0) == want.size(0) or state[LAST[1]].shape != have.shape[:1]:
        return []
    for key in LAST:
        del state[key]
    return [
        f"The file has {have.size(0)} classes, the model {want.size(0)}: the classifier's last map (head.fc2) stays as "
        "it was, untrained unless you trained it."
    ]


def _position_note(model: nn.Module, layout: KeyLayout) -> list[str]:
    config = getattr(model, "config", None)
    if layout == "own" or not isinstance(config, PyramidViGConfig) or config.position == "official":
        return []
    return [
        f"Published weights were trained with position='official', this model has {config.position!r}: its graphs "
        "differ from theirs in the stages with pooled sources."
    ]
