"""The run folder of every task, with the weights, the scores, and everything needed to resume."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vig_pyg._io.bounded_yaml import read_yaml
from vig_pyg._io.faults import Fault
from vig_pyg._io.launcher import as_started
from vig_pyg._io.output import check_free, check_new_folder, new_folder
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import as_csv
from vig_pyg.artifact import BEST, CARD, CONFIG, WEIGHTS
from vig_pyg.engine.checkpoint import LAST
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.metrics import METRICS

#: The configuration of a run, in the form of `--config`.
CONFIG_YAML = "config.yaml"
CURVES = "curves.png"
#: The images that the run leaves out, and why; only if there are any.
LEFT_OUT = "left_out.csv"
#: All files of a run.
OUTPUTS = (CONFIG, CONFIG_YAML, LAST, BEST, METRICS, WEIGHTS, CARD, CURVES, LEFT_OUT, "confusion.png", "graph.png")


def check_run_folder(out: str | Path, *, resume: bool = False, size: int = 0) -> None:
    """Raise an `OSError` before the training if the run folder cannot be created or written.

    Args:
        resume: If true, the folder must already exist.

    Raises:
        FileExistsError: If the folder exists and `resume` is false, because a run is never overwritten; or if `resume`
            is true and a file in the folder is a link, a pipe, a device or a folder.
        FileNotFoundError: If `resume` is true and the folder does not exist.
        OSError: If no file can be written in the folder, or the disk has too little space.
    """
    out = Path(out)
    if resume:
        if not out.is_dir():
            raise FileNotFoundError(f"There is no run to resume at {out}.{did_you_mean(out)}")
        for name in OUTPUTS:
            check_free(out / name, overwrite=True, size=size)
        if (out / "tensorboard").is_symlink():
            raise FileExistsError(f"{out / 'tensorboard'} is a symbolic link: nothing is written through one.")
        return
    if os.path.lexists(out) and not out.is_symlink():
        is_run = (out / CONFIG).is_file() or (out / LAST).is_file()
        raise FileExistsError(
            f"{out} exists already and is not overwritten: choose another folder (--out), or remove it"
            + (f"; --resume {out} continues a stopped run, as resume=True does in Python." if is_run else ".")
        )
    check_new_folder(out, size=size)


def values_of_run(folder: str | Path, command: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the configuration file of a run, and its values.

    Args:
        command: The command that creates such runs, such as `"detect train"`.

    Raises:
        FileNotFoundError: If the folder is not a run folder.
        ValueError: If the file cannot be read.
    """
    path = Path(folder) / CONFIG_YAML
    if not path.is_file():
        hint = "" if Path(folder).exists() else did_you_mean(folder)
        raise FileNotFoundError(
            f"{folder} is not a run folder: it has no {CONFIG_YAML}. Create a run with "
            f"`{as_started(f'vig-pyg {command}')}`.{hint}"
        )
    return str(path), read_yaml(path)


@contextmanager
def open_run_folder(out: str | Path, *, resume: bool = False, first: bool = True) -> Iterator[Path]:
    """A context with the run folder. After an error the folder is removed, unless it contains a checkpoint.

    Args:
        resume: If true, the folder must already exist.
        first: True for the first of several processes, which creates and removes the folder.

    Raises:
        OSError: If the folder cannot be created, or does not exist (see `check_run_folder`).

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root, open_run_folder(Path(root) / "run") as folder:
        ...     (folder / "a.txt").write_text("done")
        4
    """
    out = Path(out)
    if first:
        check_run_folder(out, resume=resume)
    if resume or not first:
        yield out
        return
    with new_folder(out, keep=(out / LAST).exists):
        yield out


def finished_epochs(out: str | Path, config: TrainConfig) -> int:
    """Return the number of epochs of a finished run, or 0 if the run can be continued or does not exist.

    Args:
        config: The configuration of the run. With early stopping, fewer epochs than planned are a whole run.

    Example:
        >>> finished_epochs("/nowhere/run", TrainConfig())
        0
    """
    out = Path(out)
    if not all((out / name).is_file() for name in (LAST, METRICS, WEIGHTS)):  # weights are written at the end
        return 0
    with (out / METRICS).open("rb") as file:
        epochs = sum(1 for _ in file) - 1  # the first line has the names
    return max(epochs, 0) if epochs >= config.epochs or config.patience is not None else 0


def left_out_csv(faults: Sequence[str]) -> str:
    """Return the content of `left_out.csv`.

    Example:
        >>> print(left_out_csv([Fault("my, a.png", "the file is empty"), "b.png: it is a folder"]), end="")
        image,reason
        "my, a.png",the file is empty
        b.png,it is a folder
    """
    # the text of a user's data source is divided at its first colon
    rows = [(one.file, one.reason) if isinstance(one, Fault) else one.partition(": ")[::2] for one in faults]
    return as_csv(("image", "reason"), [(file if isinstance(file, Path) else str(file), why) for file, why in rows])


def free_name(out: str | Path) -> Path:
    """Return the path, with a number appended if it exists.

    Example:
        >>> free_name("/nowhere/run").name
        'run'
    """
    out, i = Path(out), 1
    candidate = out
    while os.path.lexists(candidate):
        i += 1
        candidate = out.with_name(f"{out.name}-{i}")
    return candidate
