"""Checks whether tensors match a model, and adapts or omits those that may differ."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.checkpoints.formats import POSITION, State, shorten

#: The first convolution, which depends on the image channels.
FIRST = "stem.0.weight"
#: The classifier's last linear layer, which depends on the number of classes.
LAST = ("head.fc2.weight", "head.fc2.bias")
#: The classifier's second output layer, which learned from a teacher; few models have one.
DISTILLED = ("head.fc_dist.weight", "head.fc_dist.bias")
#: All of the classifier but that.
CLASSIFIER = frozenset(
    ["head.fc1.weight", "head.fc1.bias", *LAST]
    + [f"head.norm.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
)


def faults(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """List the reasons why tensors do not match a model; the list is empty if they match.

    Example:
        >>> import torch
        >>> faults({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
        ['a has shape (2,), expected (3,)']
    """
    both = [key for key in expected if key in state]
    problems = [
        f"{key} has shape {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in both
        if state[key].shape != expected[key].shape
    ]
    problems += [fault for key in both if (fault := type_fault(key, state[key], expected[key]))]
    missing, unexpected = expected.keys() - state.keys(), state.keys() - expected.keys()
    problems += [f"missing: {shorten(missing)}"] if missing else []
    problems += [f"unexpected: {shorten(unexpected)}"] if unexpected else []
    return problems


def type_fault(key: str, have: Tensor, want: Tensor) -> str:
    """Return the reason why a tensor cannot be copied into another one without loss (except rounding), or `""`.

    Example:
        >>> type_fault("a", torch.zeros(2, dtype=torch.long), torch.zeros(2))
        'a is torch.int64, expected torch.float32'
    """
    if _kind(have) != _kind(want):
        return f"{key} is {have.dtype}, expected {want.dtype}"
    if have.layout != torch.strided:
        return f"{key} is sparse, expected a dense tensor"
    if have.device.type == "meta":
        return f"{key} is on the device 'meta' and has no data"
    return ""


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return names of tensors with NaN or infinity.

    Example:
        >>> not_finite({"a": torch.tensor([torch.nan]), "b": torch.zeros(2)})
        ['a']
    """
    return [key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]


def resize_position(state: State, expected: Mapping[str, Tensor]) -> list[str]:
    """Resize the position embedding in place to the grid of the model, and return a note if it was resized.

    Example:
        >>> state = {POSITION: torch.zeros(1, 8, 4, 4)}
        >>> resize_position(state, {POSITION: torch.zeros(1, 8, 7, 7)})
        ['The position embedding was resized from 4 x 4 to 7 x 7 patches.']
    """
    if POSITION not in state or POSITION not in expected:
        return []
    have, want = state[POSITION], expected[POSITION]
    fits = have.dim() == want.dim() == 4 and have.shape[:2] == want.shape[:2] and have.numel() > 0
    if not fits or have.shape == want.shape or type_fault(POSITION, have, want):
        return []
    resized = F.interpolate(have.float(), size=want.shape[2:], mode="bicubic")
    state[POSITION] = resized.to(have.dtype)
    old, new = (" x ".join(map(str, shape[2:])) for shape in (have.shape, want.shape))
    return [f"The position embedding was resized from {old} to {new} patches."]


def adapt_channels(state: State, expected: Mapping[str, Tensor]) -> list[str]:
    """Adapt the first convolution in place to the image channels of the model, and return a note if it was adapted.

    For one channel, the weights are summed over the channels. For more channels, they are repeated and scaled, so that
    an image with equal channels gives the same features. timm does the same.
    """
    if FIRST not in state or FIRST not in expected:
        return []
    have, want = state[FIRST], expected[FIRST]
    fits = have.dim() == want.dim() == 4 and have.shape[0] == want.shape[0] and have.shape[2:] == want.shape[2:]
    if not fits or have.shape == want.shape or have.numel() == 0 or type_fault(FIRST, have, want):
        return []
    old, new = have.size(1), want.size(1)
    weight = have.to(torch.promote_types(have.dtype, torch.float32))
    if new == 1:
        adapted, how = weight.sum(1, keepdim=True), "summed"
    else:
        adapted = weight.repeat(1, -(-new // old), 1, 1)[:, :new] * (old / new)
        how = f"repeated and scaled by {old}/{new}" if new > old else f"cut and scaled by {old}/{new}"
    state[FIRST] = adapted.to(have.dtype)
    return [f"The first convolution was adapted from {old} to {new} input channels: its weights were {how}."]


def leave_unfit(state: State, expected: Mapping[str, Tensor], notes: list[str]) -> set[str]:
    """Remove tensors that do not fit from `state`, add notes, and return the names of the tensors that are not loaded.

    Example:
        >>> notes = []
        >>> leave_unfit({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, notes), notes[0]
        ({'a'}, 'Tensors that do not fit were left out: a.')
    """
    wrong = [
        key
        for key, tensor in state.items()
        if key not in expected or tensor.shape != expected[key].shape or type_fault(key, tensor, expected[key])
    ]
    for key in wrong:
        del state[key]
    missing = expected.keys() - state.keys()
    if wrong:
        notes.append(f"Tensors that do not fit were left out: {shorten(wrong)}.")
    if missing:
        notes.append(f"These tensors of the model were not loaded and stay as they were: {shorten(missing)}.")
    return set(missing)


def _merge_classifiers(state: State, expected: Mapping[str, Tensor]) -> list[str]:
    """Replace two output layers of a file by their mean if the model has only one, and return a note if so."""
    merges = all(key in state for key in (*LAST, *DISTILLED)) and not any(key in expected for key in DISTILLED)
    if not merges or any(key not in expected for key in LAST):
        return []
    for key, other in zip(LAST, DISTILLED, strict=True):
        if state[key].shape != state[other].shape or type_fault(key, state[other], state[key]):
            return []
    for key, other in zip(LAST, DISTILLED, strict=True):
        state[key] = (state[key] + state.pop(other)) / 2
    return [
        "The file has two output layers, one of which learned from a teacher: their mean was loaded, which gives the "
        "same logits in evaluation. To have both, create the model with distillation=True."
    ]


def leave_classifier(state: State, expected: Mapping[str, Tensor]) -> tuple[list[str], set[str]]:
    """Remove classifier tensors that do not match from `state`; return notes and the names of those not loaded.

    Two output layers of a file are merged if the model has only one.
    """
    merged = _merge_classifiers(state, expected)
    heads = {key for key in state if key.startswith("head.")}
    mine = {key for key in expected if key.startswith("head.")}
    all_of_it = CLASSIFIER | set(DISTILLED) & (heads | mine)
    if not mine:
        if heads != all_of_it or not _whole(state):
            return [], set()
        for key in heads:
            del state[key]
        return ["The model has no classifier: that of the file was not loaded."], set()
    if not heads:
        return ["The file has no classifier: the model keeps its own (random for a new model)."], mine
    if not (mine == heads == all_of_it and _whole(state)):
        return merged, set()
    have, want = state[LAST[0]], expected[LAST[0]]
    if have.shape[1:] != want.shape[1:] or have.size(0) == want.size(0):
        return merged, set()
    last = [key for key in (*LAST, *DISTILLED) if key in mine]
    for key in last:
        del state[key]
    note = (
        f"The file has {have.size(0)} classes, the model {want.size(0)}: the classifier's last layer (head.fc2) was "
        "not loaded and keeps its current weights (random for a new model)."
    )
    return [note], set(last)


def _whole(state: Mapping[str, Tensor]) -> bool:
    """True if the tensors of the classifier in a file are consistent with each other."""
    first, last = state["head.fc1.weight"], state[LAST[0]]
    if first.dim() != 2 or last.dim() != 2 or last.numel() == 0 or last.size(1) != first.size(0):
        return False
    keys = [*CLASSIFIER, *(key for key in DISTILLED if key in state)]
    count = {"head.fc1.weight": first.shape}
    count |= {key: last.shape if key.endswith("weight") else last.shape[:1] for key in (*LAST, *DISTILLED)}
    shapes = {key: count.get(key, () if "num_batches" in key else first.shape[:1]) for key in keys}
    numbers = all(not type_fault(key, state[key], state[key]) for key in keys)
    floats = all(state[key].is_floating_point() != key.endswith("num_batches_tracked") for key in keys)
    return numbers and floats and all(state[key].shape == shape for key, shape in shapes.items())


def _kind(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "floating point"
    plain = not tensor.is_complex() and not tensor.is_quantized and tensor.dtype != torch.bool
    return "integer" if plain else str(tensor.dtype)
