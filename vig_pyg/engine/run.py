"""The folder of a run, which every task fills alike: weights, scores, and what is needed to go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vig_pyg._io.output import check_free, check_new_folder, new_folder
from vig_pyg.artifact import BEST, CARD, CONFIG, WEIGHTS
from vig_pyg.engine.checkpoint import LAST
from vig_pyg.engine.metrics import METRICS

#: The settings of a run, as `--config` takes them.
CONFIG_YAML = "config.yaml"
CURVES = "curves.png"
#: All files of a run.
OUTPUTS = (CONFIG, CONFIG_YAML, LAST, BEST, METRICS, WEIGHTS, CARD, CURVES, "confusion.png", "graph.png")


def check_run_folder(out: str | Path, *, resume: bool = False, size: int = 0) -> None:
    """Raise an `OSError` before the training if its folder could not be made and filled.

    Args:
        out: The folder.
        resume: Whether it is there already.
        size: Estimate of its content in bytes.

    Raises:
        FileExistsError: If it exists and is not resumed: a run is never overwritten. Also if something in a folder to
            resume is a link, a pipe, a device or a folder where a file belongs.
        FileNotFoundError: If it is to be resumed and does not exist.
        OSError: If it takes no files, or the disk is too small.
    """
    out = Path(out)
    if resume:
        if not out.is_dir():
            raise FileNotFoundError(f"There is no run to resume at {out}.")
        for name in OUTPUTS:
            check_free(out / name, overwrite=True, size=size)
        if (out / "tensorboard").is_symlink():
            raise FileExistsError(f"{out / 'tensorboard'} is a symbolic link: nothing is written through one.")
        return
    if os.path.lexists(out) and not out.is_symlink():
        is_run = (out / CONFIG).is_file() or (out / LAST).is_file()
        raise FileExistsError(
            f"{out} exists already and is not overwritten: choose another --out, or remove it"
            + (f"; --resume {out} goes on with a run that was stopped." if is_run else ".")
        )
    check_new_folder(out, size=size)


@contextmanager
def open_run_folder(out: str | Path, *, resume: bool = False, first: bool = True) -> Iterator[Path]:
    """A run's folder to fill. After an error it stays if there is a checkpoint to go on from, else nothing is left.

    Args:
        out: The folder.
        resume: Whether it is there already.
        first: Whether this is the first of several processes, which makes and removes it.

    Raises:
        OSError: If it cannot be made, or is not there (see `check_run_folder`).
    """
    out = Path(out)
    if first:
        check_run_folder(out, resume=resume)
    if resume or not first:
        yield out
        return
    with new_folder(out, keep=(out / LAST).exists):
        yield out


def free_name(out: str | Path) -> Path:
    """Append a number to a name where it is taken."""
    out, i = Path(out), 1
    candidate = out
    while os.path.lexists(candidate):
        i += 1
        candidate = out.with_name(f"{out.name}-{i}")
    return candidate
