"""Loading of weights into a model, from a file, a URL, the table of published weights, or a state dict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from vig_pyg._io.suggest import did_you_mean
from vig_pyg.checkpoints.load import OnMismatch, Report, load_state
from vig_pyg.checkpoints.metadata import describe
from vig_pyg.checkpoints.read import check_folder, read_state
from vig_pyg.config import variant_config, variant_name
from vig_pyg.weights.download import download
from vig_pyg.weights.table import AVERAGED, IMAGENET, TABLE, TAGS, Weights, get_weights

Source = str | Path | Weights | Mapping[str, Any]


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    on_mismatch: OnMismatch = "error",
    overridden: Collection[str] = (),
    of_backbone: bool = False,
    progress: bool = True,
) -> Report:
    """Load weights in the native, official or mmpretrain format; if they do not fit, the model is not changed.

    A position embedding for another grid is resized (bicubic). If the number of classes differs, the last linear layer
    of the classifier (`head.fc2`) is not loaded; if the weights have no classifier, the whole head is not loaded. The
    report and a warning in the log list these parts. All other keys must be present. Options that change the outputs
    but no shape (operator, graph, k, dilation, position, pooling of the sources) must match the options recorded with
    the weights. Such records exist for published weights, and in state dicts and files of this library.

    Args:
        model: The model, which is changed in place.
        source: A path (`.safetensors`, or a file of `torch.save`, which is read without executing code), a URL (which
            is cached, see `download`), an entry of the table of weights or its name, or a state dict. The format is
            detected. Wrappers such as `state_dict` and prefixes such as `module.` are removed.
        on_mismatch: Behavior if options recorded with the weights differ from those of the model: `"error"` raises
            an error, `"note"` loads the weights and adds a note to the report.
        overridden: Names of options that differ on purpose; the report has a note for each. With `"in_channels"` the
            first convolution is adapted to the channels of the model: its weights are summed for one channel, and
            repeated and scaled for other numbers, as timm does.
        of_backbone: If true, the model is a part of a network for another task. Then there are no notes about what
            every such part has in common: no classifier, and `position="grid"`.
        progress: If true, a download shows a progress bar.

    Returns:
        A report of what was loaded, resized and skipped.

    Raises:
        FileNotFoundError: If the path does not exist.
        TypeError: If the source has another type.
        ConnectionError: If a URL cannot be reached.
        ValueError: If the file is damaged or contains more than tensors, if keys are missing or unexpected, or if
            shapes, dtypes or recorded options differ from those of the model. If the variant to which the weights
            belong is known, the message names it.

    Example:
        >>> from vig_pyg import vig_micro, weights
        >>> print(weights.load_weights(vig_micro(), weights.convert(vig_micro(), "official")))
        Loaded 171 tensors from a state dict (official format).
    """
    if on_mismatch not in ("error", "note"):  # checked before the download
        raise ValueError(f"on_mismatch must be 'error' or 'note', got {on_mismatch!r}.")
    where, state = fetch(source, progress=progress)
    known = _known(source)
    how: dict[str, Any] = {"on_mismatch": on_mismatch, "overridden": overridden, "of_backbone": of_backbone}
    return load_state(model, state, where=where, known=known, **how)


def load_published(
    model: Any,
    weights: str | Weights,
    *,
    on_mismatch: OnMismatch = "error",
    overridden: Collection[str] = (),
    of_backbone: bool = False,
) -> Report:
    """Load published weights into a model of the same variant, and set its preprocessing and class names.

    Args:
        model: A model of this library.
        weights: An entry of the table, or the tag of one: `"imagenet1k"`, `"imagenet1k:mmpretrain"`, or for the later
            families `"imagenet1k:ema"`.
        on_mismatch: As for `load_weights`. All options are recorded with published weights.
        overridden, of_backbone: As for `load_weights`.

    Returns:
        The report of `load_weights`.

    Raises:
        ValueError: If no such weights are published, if they belong to another variant; also as for
            `load_weights`.

    Example:
        >>> from vig_pyg import ViG
        >>> report = load_published(ViG("tiny", num_classes=10), "imagenet1k")  # doctest: +SKIP
    """
    config = model.config
    name = variant_name(config) or f"a {type(model).__name__} of other widths or depths"
    entry = weights if isinstance(weights, Weights) else get_weights(f"{name}:{weights}")
    if entry.model != name:
        raise ValueError(f"{entry.name} are weights of {entry.model}, but this model is {name}.")
    report = load_weights(model, entry, on_mismatch=on_mismatch, overridden=overridden, of_backbone=of_backbone)
    model.preprocessing = entry.preprocessing.adapted(image_size=config.image_size, in_channels=config.in_channels)
    model.class_names = entry.categories if config.num_classes == len(entry.categories) else None
    return report


def check_exists(source: Source | None) -> None:
    """Check that a source of weights exists, without reading or downloading anything.

    Args:
        source: A source, as for `load_weights`, the tag of published weights, or `None`; only paths are checked.

    Raises:
        FileNotFoundError: If the source is a path, and there is no file.
        IsADirectoryError: If the source is a folder without weights.

    Example:
        >>> check_exists("vig_tiny"), check_exists("imagenet1k"), check_exists("https://example.org/vig.pth")
        (None, None, None)
    """
    if not isinstance(source, (str, Path)) or (isinstance(source, str) and source.startswith(("https://", "http://"))):
        return
    names = {*TABLE, *(entry.model for entry in TABLE.values()), *TAGS, AVERAGED}
    if source not in names and not Path(source).exists():
        close = get_close_matches(str(source), sorted(filter(None, map(str, names))), n=1, cutoff=0.75)
        hint = f" Did you mean the published weights {close[0]!r}?" if close else did_you_mean(source)
        raise FileNotFoundError(f"There is no weight file at {source}.{hint}")
    if source not in names:
        check_folder(source)


def fetch(source: Source, *, progress: bool = True) -> tuple[str, Mapping[str, Any]]:
    """Read the state dict of a source of weights; a file that is not in the cache is downloaded.

    Args:
        source: A source, as for `load_weights`.
        progress: If true, a download shows a progress bar.

    Returns:
        A description of the source for messages, and its state dict.

    Raises:
        TypeError: If the source has another type; other errors as for `load_weights`.

    Example:
        >>> fetch({"head.fc2.bias": 0.0})
        ('a state dict', {'head.fc2.bias': 0.0})
    """
    if isinstance(source, Mapping):
        return "a state dict", source
    if isinstance(source, Weights):
        return source.name, _part_of(source, read_state(download(source, progress=progress)))
    if not isinstance(source, (str, Path)):
        raise TypeError(
            f"Expected a path, a URL, a state dict, or published weights, got {type(source).__name__}"
            + (": pass its state_dict()." if isinstance(source, nn.Module) else ".")
        )
    names = {*TABLE, *(entry.model for entry in TABLE.values())}
    if source in names and not Path(source).exists():
        return fetch(get_weights(str(source)), progress=progress)
    if not (isinstance(source, str) and source.startswith(("https://", "http://"))):
        check_exists(source)
        return str(source), read_state(source)
    path = download(source, progress=progress)
    try:
        return source, read_state(path)
    except ValueError:
        path.unlink(missing_ok=True)  # an unreadable file must not stay in the cache, as its hash was not verified
        raise


def _part_of(entry: Weights, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a file that an entry of the table names; a file without parts is the only part."""
    part = state.get(entry.part) if entry.part else state
    if isinstance(part, Mapping):
        return part
    if entry.tag == AVERAGED:
        raise ValueError(f"{entry.file_name} has no {entry.part!r}: choose {entry.model}:{IMAGENET}.")
    return state


def _known(source: Source) -> dict[str, Any] | None:
    """Return the options of the network that belong to published weights; `None` for any other source."""
    entry = source if isinstance(source, Weights) else None
    if isinstance(source, str) and not Path(source).exists():
        entry = next((one for one in TABLE.values() if source in (one.url, one.name, one.model)), None)
    return None if entry is None else describe(variant_config(entry.model))
