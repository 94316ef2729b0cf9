"""Loading of a state dict into a model, with a report."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vig_pyg._io.numbers import counted
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
from vig_pyg.checkpoints.hybrid_format import hybrid_shape, hybrid_style, hybrid_to_native
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

    Example:
        >>> print(Report(source="mine.pth", format="native", loaded=("head.fc2.bias",), left_out=(), notes=()))
        Loaded 1 tensor from mine.pth (native format).
    """

    source: str
    format: Format
    loaded: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    not_compared: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = f"Loaded {counted(len(self.loaded), 'tensors')} from {self.source} ({self.format} format)."
        return "\n".join([first, *self.notes, *_silence(self.not_compared)])


def load_state(
    model: nn.Module,
    state: Mapping[str, Any],
    *,
    where: str = "a state dict",
    known: Mapping[str, Any] | None = None,
    on_mismatch: OnMismatch = "error",
    overridden: Collection[str] = (),
    of_backbone: bool = False,
    strict: bool = True,
) -> Report:
    """Load a state dict in any of the three formats; if it does not fit, the model is not changed.

    `vig_pyg.weights.load_weights`, which also reads files and URLs, describes what is resized, omitted, compared and
    refused.

    Args:
        model: The model, which is changed in place.
        state: The state dict; wrappers such as `state_dict` and prefixes such as `module.` are removed.
        known: The configuration of the weights (see `describe`); by default the recorded one.
        on_mismatch: Behavior if the recorded options differ from those of the model: `"error"` or `"note"`.
        overridden: Names of options that differ on purpose; the report has a note for each. With `"in_channels"`, the
            first convolution is adapted to the channels of the model.
        of_backbone: If true, there are no notes about what every backbone has: no classifier, and `position="grid"`.
        strict: If false, tensors that do not fit are not loaded, and a note names them.

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
        raise ValueError(f"The model is on the device 'meta' ({shorten(empty)}): allocate memory with to_empty.")
    format = detect_format(foreign)
    one_stage = any(key.startswith("stages.0.") for key in expected) and "stages.1.downsample.0.weight" not in expected
    native, tables = to_native(foreign, one_stage=one_stage), _tables(foreign, one_stage)
    notes += resize_position(native, expected)
    notes += adapt_channels(native, expected) if "in_channels" in overridden else []
    of_classifier, left_out = leave_classifier(native, expected)
    config = getattr(model, "config", None)
    known = _said(native, tables) if known is None else known
    found = compare(known, config) if isinstance(config, ModelConfig) else Comparison((), ())
    of_classifier, found = ([], _of_backbone(found)) if of_backbone else (of_classifier, found)
    if not strict:
        left_out |= leave_unfit(native, expected, of_classifier)
    _check(model, native, {key: tensor for key, tensor in expected.items() if key not in left_out}, found)
    notes += of_classifier + _mismatches(found, model, on_mismatch, overridden)
    notes += _position_note(config, format, found) + _not_finite_note(native)
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
        state: The state dict that will be loaded, in the native format. If all its tensors have one dtype, tensors of
            the model that it lacks get this dtype too.

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
    """Return the name of the variant with the widths and number of blocks of a state dict, or `""` if there is none.

    Args:
        state: A state dict with native names.

    Example:
        >>> from vig_pyg import pvig_micro
        >>> identify_variant(pvig_micro().state_dict())
        'pvig_micro'
    """
    text = kept_text(state)
    family = from_text(text).get("family") if text is not None else None
    known = [(name, config) for name, config in MODELS.items() if family in (None, type(config).__name__[:-6])]
    if hybrid_style(state) is not None:
        state = hybrid_to_native(state)
    if (shape := hybrid_shape(state)) is not None:
        return next((name for name, config in known if config.shape == shape), "")
    graphers = sum(key.endswith((".grapher.fc2.0.bias", ".0.fc2.0.bias")) for key in state)
    widths = {
        tensor.size(1) for key, tensor in state.items() if key.endswith((POSITION, "pos_embed")) and tensor.dim() > 1
    }
    shapes = {name: (_width(config), config.num_blocks) for name, config in known}
    return next((name for name, shape in shapes.items() if widths == {shape[0]} and graphers == shape[1]), "")


def _width(config: ModelConfig) -> int:
    """Return the number of channels of the first block."""
    channels: int | tuple[int, ...] = getattr(config, "channels", 0)
    return channels if isinstance(channels, int) else channels[0]


def _check(model: nn.Module, state: State, expected: Mapping[str, Tensor], found: Comparison) -> None:
    problems = faults(state, expected)
    if problems:
        variant = identify_variant(state)
        hint = f" (they look like {variant})" if variant else ""
        more = f" Options differ too: {shorten(map(str, found.differences))}." if found.differences else ""
        raise ValueError(
            f"These weights do not fit this {type(model).__name__}{hint}: {shorten(problems)}.{more} Create the model "
            "with the architecture of the weights."
        )


def _said(state: State, tables: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the recorded configuration of weights, or the part of it that their shapes define."""
    text = kept_text(state)
    if text is not None:
        return from_text(text)
    positions = {
        table_stage(name) or 0: table
        for name, table in tables.items()
        if name.endswith(".relative_pos") and table.dim() == 3 and table.numel()
    }
    ratios = {stage: round((table.size(1) / table.size(2)) ** 0.5) for stage, table in positions.items()}
    whole = {int(key.split(".")[1]) for key in state if re.match(r"stages\.[0-9]{1,6}\.", key)} == ratios.keys()
    known: dict[str, Any] = {"position": "official"} if tables else {}
    grid = state.get(POSITION)
    if 0 in positions and isinstance(grid, Tensor) and positions[0].size(1) < grid.shape[2:].numel():  # one window
        kinds = {name.rpartition(".")[2] for name in tables}
        known = {"position": "grid", "window": round(positions[0].size(1) ** 0.5)}
        known |= {"shift": "attn_mask" in kinds, "adaptive": "adj_mask" in kinds}
    return known | ({"reduce_ratios": [ratios[i] for i in sorted(ratios)]} if tables and whole else {})


def _tables(foreign: State, one_stage: bool) -> dict[str, Tensor]:
    """Return the native names of the published position tables, which the model computes."""
    names = native_names(foreign, one_stage=one_stage)
    return {
        names[key]: tensor
        for key, tensor in foreign.items()
        if names[key] != key and table_stage(names[key]) is not None
    }


def _mismatches(found: Comparison, model: nn.Module, on_mismatch: OnMismatch, overridden: Collection[str]) -> list[str]:
    """Return notes about options that differ, or raise an error."""
    grid = [found.grid_note] if found.grid_note else []
    refused = [one for one in found.differences if on_mismatch == "error" and one.field not in overridden]
    if refused:
        raise ValueError(
            f"These weights belong to a {type(model).__name__} with other options: {shorten(map(str, refused))}. The "
            "shapes match, but the outputs would differ. Create the model with the options of the weights, or pass "
            "on_mismatch='note' to load them anyway."
        )
    ours = type(model).__name__
    return grid + [
        f"The weights were trained with {one.field}={one.theirs!r}, but this model has {one.ours!r}: the outputs of "
        f"this {ours} differ from theirs."
        for one in found.differences
    ]


def _of_backbone(found: Comparison) -> Comparison:
    """Return a comparison without the position mode that a backbone has unless another one is chosen."""
    kept = [one for one in found.differences if (one.field, one.ours) != ("position", "grid")]
    return found._replace(differences=tuple(kept), unknown=tuple(name for name in found.unknown if name != "position"))


def _not_finite_note(state: State) -> list[str]:
    broken = shorten(not_finite(state))
    return [f"There are NaN or infinite values in {broken}, so the outputs will not be finite."] if broken else []


def _position_note(config: object, format: Format, found: Comparison) -> list[str]:
    if format == "native" or "position" not in found.unknown:
        return []
    if not isinstance(config, PyramidViGConfig) or config.position == "official":
        return []
    return [
        f"Published weights were trained with position='official', but this model has {config.position!r}: its "
        "graphs differ from those of the training in stages with pooled sources."
    ]


def _silence(fields: Collection[str]) -> list[str]:
    """Describe in one line which options the weights do not record."""
    return [f"Options that the weights do not record were not compared: {', '.join(fields)}."] if fields else []
