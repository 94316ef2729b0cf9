"""Loading of a state dict into a model, with a report."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vig_pyg.checkpoints.check import (
    adapt_channels,
    faults,
    leave_classifier,
    leave_unfit,
    not_finite,
    resize_position,
)
from vig_pyg.checkpoints.compare import Comparison, compare
from vig_pyg.checkpoints.formats import (
    POSITION,
    Format,
    State,
    detect_format,
    native_names,
    shorten,
    table_stage,
    to_native,
)
from vig_pyg.checkpoints.metadata import from_text, kept_text
from vig_pyg.checkpoints.read import unwrap_with_notes
from vig_pyg.config import MODELS, ModelConfig, PyramidViGConfig

_log = logging.getLogger(__name__)

OnMismatch = Literal["error", "note"]
#: The dtypes in which a model can compute.
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report of loaded weights; `str(report)` is a summary.

    Args:
        source: Description of the source of the weights.
        format: The detected format.
        loaded: Native names of the tensors that were loaded.
        left_out: Native names of the tensors of the model that were not loaded and keep their values.
        notes: Notes for the user.
        not_compared: Options that affect the outputs but are not recorded with the weights.
        computed: Native names of the position tables in the file, which the model computes itself.
    """

    source: str
    format: Format
    loaded: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    not_compared: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = f"Loaded {len(self.loaded)} tensors from {self.source} ({self.format} format)."
        return "\n".join([first, *self.notes, *_silence(self.not_compared)])


def load_state(
    model: nn.Module,
    state: Mapping[str, Any],
    *,
    where: str = "a state dict",
    known: Mapping[str, Any] | None = None,
    on_mismatch: OnMismatch = "error",
    overridden: Collection[str] = (),
    strict: bool = True,
) -> Report:
    """Load a state dict in any of the three formats; the model stays as it was if it does not fit.

    `vig_pyg.weights.load_weights` says what is resized, left out, compared and refused; it reads files and URLs too.

    Args:
        model: The model that takes it.
        state: The state dict; wrappers such as `state_dict` and prefixes such as `module.` are taken off.
        where: Where it came from, in words.
        known: What is known of its network (see `describe`); by default what it says itself.
        on_mismatch: What to do if the weights are known to have other options than the model: `"error"` or `"note"`.
        overridden: Names of options that differ on purpose; a note tells of each. With `"in_channels"` the first
            convolution is adapted to the channels of the model.
        strict: If false, tensors that do not fit are left out, and a note names them.

    Raises:
        ValueError: If it does not fit, as `load_weights` says.

    Example:
        >>> from vig_pyg import vig_micro
        >>> load_state(vig_micro(), vig_micro().state_dict()).format
        'native'
    """
    if on_mismatch not in ("error", "note"):
        raise ValueError(f"on_mismatch must be 'error' or 'note', got {on_mismatch!r}.")
    foreign, notes = unwrap_with_notes(state)
    expected = model.state_dict()
    if empty := [key for key, tensor in expected.items() if tensor.device.type == "meta"]:
        raise ValueError(f"The model is on the device 'meta' ({shorten(empty)}): give it memory first, with to_empty.")
    format = detect_format(foreign)
    one_stage = any(key.startswith("stages.0.") for key in expected) and "stages.1.downsample.0.weight" not in expected
    native, tables = to_native(foreign, one_stage=one_stage), _tables(foreign, one_stage)
    notes += resize_position(native, expected)
    notes += adapt_channels(native, expected) if "in_channels" in overridden else []
    of_classifier, left_out = leave_classifier(native, expected)
    config = getattr(model, "config", None)
    known = _said(native, tables) if known is None else known
    found = compare(known, config) if isinstance(config, ModelConfig) else Comparison((), ())
    if not strict:
        left_out |= leave_unfit(native, expected, of_classifier)
    _check(model, native, {key: tensor for key, tensor in expected.items() if key not in left_out}, found)
    notes += of_classifier + _mismatches(found, model, on_mismatch, overridden)
    notes += _position_note(config, format, found)
    if broken := not_finite(native):
        notes.append(f"NaN or infinity in {shorten(broken)}: the outputs will not be finite either.")
    model.load_state_dict(native, strict=False)
    report = Report(
        source=where,
        format=format,
        loaded=tuple(native),
        left_out=tuple(key for key in expected if key in left_out),
        notes=tuple(notes),
        not_compared=found.unknown,
        computed=tuple(tables),
    )
    for note in notes:
        _log.warning("%s: %s", where, note)
    for line in _silence(report.not_compared):
        _log.info("%s: %s", where, line)
    return report


def take_dtypes(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give the parameters and buffers of a model the floating-point dtypes of saved ones.

    Args:
        model: The model, which is changed in place.
        state: The state dict that will be loaded, in the native format. Tensors that it lacks get its dtype if it has
            only one.

    Example:
        >>> import torch
        >>> from vig_pyg import vig_micro
        >>> model = vig_micro()
        >>> take_dtypes(model, vig_micro().double().state_dict())
        >>> model.pos_embed.weight.dtype
        torch.float64
    """
    found = {key: tensor.dtype for key, tensor in state.items() if isinstance(tensor, Tensor)}
    kept = {key: dtype for key, dtype in found.items() if dtype in DTYPES}
    if len(set(kept.values())) == 1:
        model.to(next(iter(kept.values())))
        return
    for key, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and key in kept:
            tensor.data = tensor.data.to(kept[key])


def identify_variant(state: Mapping[str, Any]) -> str:
    """Identify the variant of a state dict by its widths and its number of blocks; `""` if there is none."""
    graphers = sum(key.endswith((".grapher.fc2.0.bias", ".0.fc2.0.bias")) for key in state)
    widths = {
        tensor.size(1) for key, tensor in state.items() if key.endswith((POSITION, "pos_embed")) and tensor.dim() > 1
    }
    known = {name: (_width(config), config.num_blocks) for name, config in MODELS.items()}
    return next((name for name, shape in known.items() if widths == {shape[0]} and graphers == shape[1]), "")


def _width(config: ModelConfig) -> int:
    """Channels of the first block."""
    channels: int | tuple[int, ...] = getattr(config, "channels", 0)
    return channels if isinstance(channels, int) else channels[0]


def _check(model: nn.Module, state: State, expected: Mapping[str, Tensor], found: Comparison) -> None:
    problems = faults(state, expected)
    if problems:
        variant = identify_variant(state)
        hint = f" (they look like {variant})" if variant else ""
        more = f" Options differ too: {shorten(map(str, found.differences))}." if found.differences else ""
        raise ValueError(f"These weights do not fit this {type(model).__name__}{hint}: {shorten(problems)}.{more}")


def _said(state: State, tables: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what weights record about their network, or what their shapes tell."""
    text = kept_text(state)
    if text is not None:
        return from_text(text)
    ratios = {
        table_stage(name) or 0: round((table.size(1) / table.size(2)) ** 0.5)
        for name, table in tables.items()
        if table.dim() == 3 and table.numel()
    }
    whole = {int(key.split(".")[1]) for key in state if re.match(r"stages\.[0-9]{1,6}\.", key)} == ratios.keys()
    known = {"position": "official"} if tables else {}
    return known | ({"reduce_ratios": [ratios[i] for i in sorted(ratios)]} if tables and whole else {})


def _tables(foreign: State, one_stage: bool) -> dict[str, Tensor]:
    """Position tables of the published pyramid, which the model computes, by our names."""
    names = native_names(foreign, one_stage=one_stage)
    return {
        names[key]: tensor
        for key, tensor in foreign.items()
        if names[key] != key and table_stage(names[key]) is not None
    }


def _mismatches(found: Comparison, model: nn.Module, on_mismatch: OnMismatch, overridden: Collection[str]) -> list[str]:
    """Notes of options that differ, or an error."""
    grid = [found.grid_note] if found.grid_note else []
    refused = [one for one in found.differences if on_mismatch == "error" and one.field not in overridden]
    if refused:
        raise ValueError(
            f"These weights are of a {type(model).__name__} with other options: {shorten(map(str, refused))}. They fit "
            "in shape, but the outputs would be others. Make the model with the options of the weights, or pass "
            "on_mismatch='note' to load them all the same."
        )
    ours = type(model).__name__
    return grid + [
        f"The weights were trained with {one.field}={one.theirs!r}, this model has {one.ours!r}: the outputs of this "
        f"{ours} differ from theirs."
        for one in found.differences
    ]


def _position_note(config: object, format: Format, found: Comparison) -> list[str]:
    if format == "native" or "position" not in found.unknown:
        return []
    if not isinstance(config, PyramidViGConfig) or config.position == "official":
        return []
    return [
        f"Published weights were trained with position='official', this model has {config.position!r}: its graphs "
        "differ from theirs in the stages with pooled sources."
    ]


def _silence(fields: Collection[str]) -> list[str]:
    """Return a line that names the options which the weights do not record."""
    return [f"The weights do not say their options, so these were not compared: {', '.join(fields)}."] if fields else []
