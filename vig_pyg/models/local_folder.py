"""Names of local folders of models, which are told from names on the Hugging Face Hub."""

from __future__ import annotations

import os
import shlex
from mimetypes import guess_type
from pathlib import Path

from vig_pyg._io.launcher import launcher
from vig_pyg._io.suggest import did_you_mean, nearest_name
from vig_pyg.artifact import CONFIG, DETECTION, SEGMENTATION, read_config

#: Largest number of folders in a message.
SHOWN = 10


def is_path(name: str) -> bool:
    """True if a name stands for a local folder, whether or not it exists; such a name is never looked up on the Hub.

    Example:
        >>> is_path("runs/photos"), is_path("../mine"), is_path("somebody/my-vig"), is_path("pvig_small")
        (True, True, False, False)
    """
    first, slash, _ = name.partition("/")
    return name.startswith(("/", "~")) or (bool(slash) and (first in ("runs", ".", "..") or Path(first).is_dir()))


def missing_folder(name: str, note: str = "") -> str:
    """Return the message about a local folder that does not exist, with the model folders beside it.

    Example:
        >>> missing_folder("/nowhere/mine")
        'There is no folder /nowhere/mine.'
    """
    if os.path.isfile(name):
        return file_instead(name)
    folder = Path(os.path.expanduser(name))  # an unknown user stays as it is
    try:
        beside = sorted(
            one.name for one in folder.parent.iterdir() if os.path.isfile(one / CONFIG)
        )  # false for an unreadable one
    except OSError:
        beside = []
    close = nearest_name(folder.name, beside)
    meant = f" Did you mean {folder.parent / close}?" if close else did_you_mean(name)
    more = f" and {len(beside) - SHOWN:,} more" if len(beside) > SHOWN else ""
    there = f" {folder.parent} has {', '.join(beside[:SHOWN])}{more}." if beside else ""
    return f"There is no folder {name}{note}.{there}{meant}"


def file_instead(name: str) -> str:
    """Return the message about a file in place of a model: the model is its folder, or comes before the image.

    Example:
        >>> file_instead("photo.jpg")
        'photo.jpg is an image: the model comes first, then the images.'
    """
    if os.path.isfile(Path(name).parent / CONFIG):
        return f"{name} is a file of the model in {Path(name).parent}: pass the folder."
    if (guess_type(name)[0] or "").startswith("image/"):
        return f"{name} is an image: the model comes first, then the images."
    return f"{name} is a file: pass the name of its model, and the file as its weights."


def models_inside(folder: Path) -> str:
    """Return which folders in a folder are models, as a sentence after another one, or `""`."""
    inside = sorted(one.name for one in folder.iterdir() if os.path.isfile(one / CONFIG))
    if not inside:
        return ""
    more = f" and {len(inside) - SHOWN:,} more" if len(inside) > SHOWN else ""
    return f" It has {', '.join(inside[:SHOWN])}{more}: pass one of them, such as {folder / inside[0]}."


def unfinished(folder: Path) -> str:
    """Return the message about a stopped run without final weights, with the command that continues it.

    Example:
        >>> unfinished(Path("runs/mine")).endswith("train --resume runs/mine")
        True
    """
    try:
        task = read_config(folder / CONFIG)["task"]
    except (OSError, ValueError):  # the run is no less unfinished; the command says what is wrong
        task = ""
    command = {DETECTION: "detect train", SEGMENTATION: "segment train"}.get(task, "train")
    again = f"{launcher()} {command} --resume {shlex.quote(str(folder))}"
    return f"The run in {folder} is not complete: continue it with {again}"
