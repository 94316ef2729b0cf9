"""Weights from wherever they are into a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from vig_pyg.checkpoints.load import OnMismatch, Report, load_state
from vig_pyg.checkpoints.metadata import describe
from vig_pyg.checkpoints.read import read_state
from vig_pyg.config import variant_config, variant_name
from vig_pyg.weights.download import download
from vig_pyg.weights.table import TABLE, Weights, get_weights

Source = str | Path | Weights | Mapping[str, Any]


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
    if on_mismatch not in ("error", "note"):  # before anything is downloaded
        raise ValueError(f"on_mismatch must be 'error' or 'note', got {on_mismatch!r}.")
    where, state = fetch(source, progress=progress)
    known = _known(source)
    return load_state(model, state, where=where, known=known, on_mismatch=on_mismatch, overridden=overridden)


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


def _known(source: Source) -> dict[str, Any] | None:
    """What the table says about the network of published weights; `None` for any other source."""
    entry = source if isinstance(source, Weights) else None
    if isinstance(source, str) and not Path(source).exists():
        entry = next((one for one in TABLE.values() if source in (one.url, one.name, one.model)), None)
    return None if entry is None else describe(variant_config(entry.model))
