"""Reading of weight files without executing code."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vig_pyg._io.suggest import did_you_mean
from vig_pyg._requirements import missing_message
from vig_pyg.checkpoints._pickle import HoldsMoreError
from vig_pyg.checkpoints._torch_file import check_torch_file, forget_unread_tensors
from vig_pyg.checkpoints.formats import State, shorten
from vig_pyg.checkpoints.metadata import KEY, kept_text, with_text

_log = logging.getLogger(__name__)

#: Keys under which files store their state dict, and prefixes that wrappers of modules (parallel training, Lightning,
#: `torch.compile`) add to its keys.
WRAPPERS = ("state_dict", "model", "state_dict_ema")
PREFIXES = ("module.", "model.", "_orig_mod.")
#: The counter that `torch.optim.swa_utils.AveragedModel` stores with the weights.
COUNTERS = ("n_averaged",)
#: Largest number of nested wrappers and of prefixes that are removed; more indicate a cycle or an attack.
DEEPEST = 8
#: How JPEG, PNG, GIF and WebP files begin, which a hurried user passes in the place of a model.
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")
#: The weights in the folder of a model.
IN_FOLDER = "model.safetensors"


def check_folder(path: str | Path) -> None:
    """Check that a folder has weights; other paths are accepted.

    Raises:
        IsADirectoryError: If the path is a folder without weights.

    Example:
        >>> check_folder("/")
        Traceback (most recent call last):
        IsADirectoryError: / is a folder, expected a weight file, or a folder with model.safetensors.
    """
    path = Path(path)
    if path.is_dir() and not (path / IN_FOLDER).is_file():
        raise IsADirectoryError(f"{path} is a folder, expected a weight file, or a folder with {IN_FOLDER}.")


def read_state(path: str | Path) -> Mapping[str, Any]:
    """Read a weight file; no code in it is executed.

    Args:
        path: A `.safetensors` file, or a file of `torch.save`. Besides tensors and plain containers it may contain an
            `argparse.Namespace`, as some published files do. If the path is a folder, such as a run folder, its
            `model.safetensors` is read.

    Raises:
        FileNotFoundError: If the file does not exist.
        IsADirectoryError: If the path is a folder without weights.
        ValueError: If the file is empty, truncated or a web page, or contains other objects; the message states the
            reason.
        ImportError: If the file is a `.safetensors` file and safetensors is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     torch.save({"x": torch.ones(2)}, Path(folder) / "mine.pth")
        ...     read_state(Path(folder) / "mine.pth")
        {'x': tensor([1., 1.])}
    """
    path = Path(path)
    check_folder(path)
    if path.is_dir():
        path = path / IN_FOLDER
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file at {path}.{did_you_mean(path)}")
    _refuse_what_is_no_weights(path)
    state = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} contains a {type(state).__name__}, expected a state dict.")
    return state


def unwrap_state_dict(state: Mapping[str, Any]) -> State:
    """Return a plain state dict without wrappers and prefixes; the recorded configuration is preserved.

    If a file contains several sets of weights, such as `state_dict` and `state_dict_ema`, the first one in the order of
    `WRAPPERS` is used, and a warning is logged.

    Args:
        state: The content of a weight file, or any state dict.

    Raises:
        ValueError: If the state dict is empty, contains anything but plain tensors, or has weights next to a wrapper.

    Example:
        >>> dict(unwrap_state_dict({"state_dict": {"module.x": torch.ones(2)}}))
        {'x': tensor([1., 1.])}
    """
    plain, notes = unwrap_with_notes(state)
    for note in notes:
        _log.warning(note)
    return plain


def unwrap_with_notes(state: Mapping[str, Any]) -> tuple[State, list[str]]:
    """As `unwrap_state_dict`, but return the notes for the user instead of logging them.

    Example:
        >>> weights, notes = unwrap_with_notes({"module.x": torch.ones(2)}); dict(weights), notes
        ({'x': tensor([1., 1.])}, [])
    """
    inner, notes = _without_wrappers(state)
    rest, prefix = dict(inner), ""
    for _ in range(DEEPEST):
        rest = {key: value for key, value in rest.items() if key not in COUNTERS}
        if not rest:
            raise ValueError("Expected a state dict of tensors, got an empty one.")
        wrong = [str(key) for key, value in rest.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
        if wrong:
            raise ValueError(f"Expected a state dict of tensors, got other values at {shorten(wrong)}.")
        odd = [key for key, x in rest.items() if x.layout != torch.strided or x.is_nested or x.is_quantized]
        if odd:
            raise ValueError(f"Expected plain tensors, got sparse, quantized or nested ones at {shorten(odd)}.")
        found = next((one for one in PREFIXES if all(key.startswith(one) for key in rest)), "")
        if not found:
            return with_text(rest, kept_text(inner, prefix)), notes
        prefix += found
        rest = {key.removeprefix(found): value for key, value in rest.items()}
    raise ValueError(f"The names of the weights have more than {DEEPEST} prefixes: this is not a state dict.")


def _without_wrappers(state: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    notes: list[str] = []
    for _ in range(DEEPEST):
        found = [wrapper for wrapper in WRAPPERS if isinstance(state.get(wrapper), Mapping)]
        if not found:
            return state, notes
        beside = [
            key for key, part in state.items() if isinstance(key, str) and "." in key and isinstance(part, Tensor)
        ]
        if beside:
            raise ValueError(
                f"There are weights both in {found[0]!r} and next to it ({shorten(beside)}): keep only one of the two."
            )
        kinds = (Tensor, Mapping)
        filled = [wrapper for wrapper in found if any(isinstance(part, kinds) for part in state[wrapper].values())]
        first, *others = filled or found
        if others:
            notes.append(
                f"The file contains {' and '.join(map(repr, (first, *others)))}: {first!r} was used. Pass "
                f"torch.load(path)[{others[0]!r}] for another one."
            )
        state = state[first]
    raise ValueError(f"The weights are nested in more than {DEEPEST} wrappers: this is not a state dict.")


def _refuse_what_is_no_weights(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(200).lstrip()
    if not start:
        raise ValueError(f"{path} is empty: download it again.")
    if start.startswith(b"<"):
        raise ValueError(
            f"{path} is a web page, not weights (it starts with {start[:15].decode(errors='replace')!r}): the server "
            "answered with a page, perhaps an error or a login. Download the file itself."
        )
    if start.startswith(_IMAGES):
        raise ValueError(f"{path} is an image, not weights: pass a weight file or the folder of a model.")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a Git LFS pointer, not weights: download the file with `git lfs pull`.")


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = f": {error}" if type(error) is ValueError else ""
    return ValueError(
        f"{path} is damaged, truncated or not a weight file ({path.stat().st_size} bytes){reason}; nothing in it "
        "was run. Download it again."
    )


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(missing_message(f"{path} needs safetensors", "hub")) from error
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (it is no mapping)
            return with_text(state, (file.metadata() or {}).get(KEY))
    except (MemoryError, PermissionError):
        raise
    # Safetensors raises its own errors, and many others for dtypes that torch does not support.
    except Exception as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> object:
    with path.open("rb") as file:
        try:
            check_torch_file(file, path.stat().st_size)
            with (
                torch.serialization.safe_globals([argparse.Namespace]),
                # The warnings are about the pickle's protocol.
                warnings.catch_warnings(action="ignore", category=UserWarning),
            ):
                forget_unread_tensors()
                return torch.load(file, map_location="cpu", weights_only=True)
        except HoldsMoreError as error:
            raise ValueError(
                f"{path} contains more than tensors: reading it would execute {error}. It is refused and nothing in "
                "it was run. If you trust its source, save only its state dict: torch.save(model.state_dict(), path)."
            ) from error
        except MemoryError:
            raise
        except Exception as error:  # for a damaged pickle or archive, torch raises errors of many types
            raise _damaged(path, error) from error
