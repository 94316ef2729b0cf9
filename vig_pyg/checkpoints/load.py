"""Weights into a model, and a report of what was done."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from vig_pyg.checkpoints.check import faults, leave_classifier, not_finite, resize_position
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
from vig_pyg.checkpoints.metadata import describe, from_text, kept_text
from vig_pyg.checkpoints.read import read_state, unwrap_with_notes
from vig_pyg.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS, ModelConfig, PyramidViGConfig, variant_name
from vig_pyg.weights.download import download
from vig_pyg.weights.table import TABLE, Weights, get_weights

_log = logging.getLogger(__name__)

Source = str | Path | Weights | Mapping[str, Any]
OnMismatch = Literal["error", "note"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `load_weights` did.

    Args:
        source: Where the weights came from, in words.
        format: The format that was recognized.
        loaded: Our names of the tensors that were loaded.
        left_out: Our names of tensors of the model that keep what they had.
        notes: What a user should know, in words.
        not_compared: Options of the model that the outputs depend on and that the weights say nothing about.
        computed: Our names of the file's position tables that the model computes itself.
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


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    on_mismatch: OnMismatch = "error",
    overridden: Collection[str] = (),
    progress: bool = True,
) -> Report:
    """Load weights in any of the three formats; the model stays as it was if they do not fit.

    A position embedding of another grid is resized (bicubic). Weights of another number of classes are loaded without
    the classifier's last map, weights without a classifier without all of it; the report says so, and so does a
    warning in the log. Nothing else may be missing. Options that change the outputs but no shape (operator, graph, k,
    dilation, position, pooling of the sources) must be those that the weights say, where they say them: published
    weights do, and so do state dicts and files of this library.

    Args:
        model: The model that takes them.
        source: A path (`.safetensors`, or a file of `torch.save`, read without running code from it), a URL (kept in
            the cache, see `download`), an entry of the table of weights or its name, or a state dict. The format is
            recognized; wrappers such as `state_dict` and prefixes such as `module.` are taken off.
        on_mismatch: What to do if the weights say other options than the model has: `"error"`, or load them and say so
            in a `"note"`.
        overridden: Names of options that differ on purpose; a note tells of each.
        progress: Whether a download shows a bar.

    Raises:
        FileNotFoundError: If the path does not exist.
        TypeError: If the source is none of these.
        ConnectionError: If a URL cannot be reached.
        ValueError: If the file is damaged or holds more than tensors, if keys are missing or unexpected, if shapes or
            types differ (the variant that the weights belong to is named where there is one), or if the weights say
            other options than the model has.

    Example:
        >>> from vig_pyg import vig_micro, weights
        >>> print(weights.load_weights(vig_micro(), weights.convert(vig_micro(), "official")))
        Loaded 171 tensors from a state dict (official format).
    """
    if on_mismatch not in ("error", "note"):
        raise ValueError(f"on_mismatch must be 'error' or 'note', got {on_mismatch!r}.")
    where, raw = fetch(source, progress=progress)
    foreign, notes = unwrap_with_notes(raw)
    expected = model.state_dict()
    if empty := [key for key, tensor in expected.items() if tensor.device.type == "meta"]:
        raise ValueError(f"The model is on the device 'meta' ({shorten(empty)}): give it memory first, with to_empty.")
    format = detect_format(foreign)
    one_stage = any(key.startswith("stages.0.") for key in expected) and "stages.1.downsample.0.weight" not in expected
    state, tables = to_native(foreign, one_stage=one_stage), _tables(foreign, one_stage)
    notes += resize_position(state, expected)
    of_classifier, left_out = leave_classifier(state, expected)
    known = _known(source, state, tables)
    found = _compared(known, model)
    _check(model, state, {key: tensor for key, tensor in expected.items() if key not in left_out}, found)
    notes += of_classifier + _mismatches(found, model, on_mismatch, overridden)
    notes += _position_note(model, format, found)
    if broken := not_finite(state):
        notes.append(f"NaN or infinity in {shorten(broken)}: the outputs will not be finite either.")
    model.load_state_dict(state, strict=False)
    report = Report(
        source=where,
        format=format,
        loaded=tuple(state),
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


def load_published(
    model: Any, weights: str | Weights, *, on_mismatch: OnMismatch = "error", overridden: Collection[str] = ()
) -> Report:
    """Published weights into a model of their variant, which also gets their preprocessing and class names.

    Args:
        model: A `ViG` or `PyramidViG`.
        weights: An entry of the table, or the tag of one: `"imagenet1k"` or `"imagenet1k:mmpretrain"`.
        on_mismatch: As for `load_weights`; published weights say all their options.
        overridden: As for `load_weights`.

    Raises:
        ValueError: If there are no such weights, or they are another variant's; else as `load_weights`.
    """
    config = model.config
    name = variant_name(config) or f"a {type(model).__name__} of other widths or depths"
    entry = weights if isinstance(weights, Weights) else get_weights(f"{name}:{weights}")
    if entry.model != name:
        raise ValueError(f"{entry.name} are weights of {entry.model}, this model is {name}.")
    report = load_weights(model, entry, on_mismatch=on_mismatch, overridden=overridden)
    model.preprocessing = replace(entry.preprocessing, image_size=config.image_size, in_channels=config.in_channels)
    model.class_names = entry.categories if config.num_classes == len(entry.categories) else None
    return report


def identify_variant(state: Mapping[str, Any]) -> str:
    """The name of the variant that a state dict belongs to, by its widths and its number of blocks; `""` if none."""
    graphers = sum(key.endswith((".grapher.fc2.0.bias", ".0.fc2.0.bias")) for key in state)
    widths = {
        tensor.size(1) for key, tensor in state.items() if key.endswith((POSITION, "pos_embed")) and tensor.dim() > 1
    }
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
        return fetch(get_weights(str(source)), progress=progress)
    if not (isinstance(source, str) and source.startswith(("https://", "http://"))):
        return str(source), read_state(source)
    path = download(source, progress=progress)
    try:
        return source, read_state(path)
    except ValueError:
        path.unlink(missing_ok=True)  # its hash was not known: what cannot be read does not stay in the cache
        raise


def _check(model: nn.Module, state: State, expected: Mapping[str, Tensor], found: Comparison) -> None:
    problems = faults(state, expected)
    if problems:
        variant = identify_variant(state)
        hint = f" (they look like {variant})" if variant else ""
        more = f" Options differ too: {shorten(map(str, found.differences))}." if found.differences else ""
        raise ValueError(f"These weights do not fit this {type(model).__name__}{hint}: {shorten(problems)}.{more}")


def _known(source: Source, state: State, tables: Mapping[str, Tensor]) -> dict[str, Any]:
    """What is known of the weights' network: from the table of weights, by what they say, or by their shapes."""
    entry = source if isinstance(source, Weights) else None
    if isinstance(source, str) and not Path(source).exists():
        entry = next((one for one in TABLE.values() if source in (one.url, one.name, one.model)), None)
    if entry is not None:
        family, variant = entry.model.split("_")
        return describe((VIG_VARIANTS if family == "vig" else PYRAMID_VIG_VARIANTS)[variant])
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


def _compared(known: Mapping[str, Any], model: nn.Module) -> Comparison:
    config = getattr(model, "config", None)
    return compare(known, config) if isinstance(config, ModelConfig) else Comparison((), ())


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


def _position_note(model: nn.Module, format: Format, found: Comparison) -> list[str]:
    config = getattr(model, "config", None)
    if format == "native" or "position" not in found.unknown:
        return []
    if not isinstance(config, PyramidViGConfig) or config.position == "official":
        return []
    return [
        f"Published weights were trained with position='official', this model has {config.position!r}: its graphs "
        "differ from theirs in the stages with pooled sources."
    ]


def _silence(fields: Collection[str]) -> list[str]:
    """What the weights do not say, in a line."""
    return [f"The weights do not say their options, so these were not compared: {', '.join(fields)}."] if fields else []
