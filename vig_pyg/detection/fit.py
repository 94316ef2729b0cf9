"""One run of a detector: train, measure, draw, write; after an interruption, go on."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vig_pyg.detection._extra import require

require()

import lightning  # noqa: E402
from lightning.pytorch.utilities.exceptions import SIGTERMException  # noqa: E402

from vig_pyg._io.output import check_new_folder, new_folder, write_file  # noqa: E402
from vig_pyg._io.signals import Terminated  # noqa: E402
from vig_pyg._io.text import error_text, terminal_text  # noqa: E402
from vig_pyg.artifact import CONFIG  # noqa: E402
from vig_pyg.detection.config import DetectionConfig  # noqa: E402
from vig_pyg.detection.keeper import Keeper  # noqa: E402
from vig_pyg.detection.load import read_detector  # noqa: E402
from vig_pyg.detection.loading import load_data, make_detector  # noqa: E402
from vig_pyg.detection.module import DetectorModule  # noqa: E402
from vig_pyg.detection.plots import draw_curves  # noqa: E402
from vig_pyg.detection.run_folder import CHECKPOINT, read_run, write_rows, write_run  # noqa: E402
from vig_pyg.engine.checkpoint_io import AtomicCheckpointIO  # noqa: E402
from vig_pyg.engine.processes import processes  # noqa: E402
from vig_pyg.engine.trainer import quiet_lightning  # noqa: E402

_log = logging.getLogger(__name__)


def fit(
    config: DetectionConfig | None,
    out: str | Path,
    *,
    resume: bool = False,
    changes: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """Train a detector and leave a run folder.

    The folder has `config.json` and `checkpoint.ckpt` from the start, and after each epoch `metrics.csv`,
    `model.safetensors` and a new `checkpoint.ckpt`, each written beside its place and moved there. `curves.png` comes
    at the end; a picture that cannot be drawn is a warning. After an error in the first epoch nothing is left.

    Args:
        config: Data, detector and numbers of the run; `None` to continue with the folder's.
        out: The run folder; it must not exist, but for `resume`.
        resume: Whether to go on after the last finished epoch of the folder. The result is that of a
            run without interruption, bit for bit on a CPU.
        changes: Values of a resumed run that may differ: `num_workers` and `evaluate_every`. The last epoch is always
            evaluated.
        progress: Whether to show progress bars.

    Returns:
        The last row of `metrics.csv`.

    Raises:
        FileExistsError: If `out` exists and `resume` is not asked for.
        FileNotFoundError: If there is no run to resume, or pictures are missing.
        ValueError: If the loss is not finite or a picture cannot be used, with its name; if both a configuration
            and `resume` are given, or neither; or if several processes are to train.
    """
    folder = Path(out)
    if (config is None) != resume:
        raise ValueError("Pass a config for a new run, or config=None with resume=True to continue with a folder's.")
    place = processes()
    if place.world > 1:  # they would all write the same folder
        raise ValueError(
            f"Object detection trains in one process, but {place.launcher} has started {place.world}: start one."
        )
    class_names = None
    if config is None:
        config, (_, class_names, _) = read_run(folder), read_detector(folder / CONFIG)
        config = replace(config, **(changes or {}))
    else:
        _check_new(folder)
    keeper = Keeper(folder)
    with quiet_lightning():
        lightning.seed_everything(config.seed, verbose=False)
        data = load_data(config)
        source = data.train_set.source
        if class_names not in (None, source.class_names):
            raise ValueError(f"{config.train} has other classes than when the run in {folder} began.")
        checkpoint = _checkpoint(folder, config) if resume else None
        module = DetectorModule(make_detector(config, len(source.class_names), pretrained=not resume), data, config)
        with _folder(folder, keeper, resume=resume):
            if not resume:
                write_run(folder, config, module.model, source)
            trainer = _trainer(config, folder, keeper, progress=progress)
            _run(keeper, lambda: trainer.fit(module, datamodule=data, ckpt_path=checkpoint), trainer)
            if not keeper.rows:
                raise ValueError(f"{folder / CHECKPOINT} says that the run is finished, but has no epoch.")
            if "val_AP" not in keeper.rows[-1]:
                _run(keeper, lambda: trainer.validate(module, datamodule=data, verbose=False), trainer)
                keeper.rows[-1] |= {f"val_{name}": score for name, score in module.scores.items()}
                write_rows(folder, keeper.rows)
            _draw(folder, keeper.rows)
    return keeper.rows[-1]


def _check_new(folder: Path) -> None:
    """Raise `OSError` if the folder cannot be made; of a run with how to go on."""
    try:
        check_new_folder(folder)
    except FileExistsError as error:
        if not (folder / CHECKPOINT).is_file():
            raise
        raise FileExistsError(f"{error} If the run was stopped, --resume {folder} goes on with it.") from None


def _checkpoint(folder: Path, config: DetectionConfig) -> Path | None:
    """Where to go on from; `None` if the run ended before its first step."""
    if (folder / CHECKPOINT).is_file():
        return folder / CHECKPOINT
    source = config.options.get("weights_backbone")
    if source is not None:  # a folder may be a stranger's: nothing is read or downloaded because it says so
        raise ValueError(
            f"{folder} has no {CHECKPOINT}: the run ended before its first step, and its start weights "
            f"({terminal_text(source, limit=100)}) are not read again. Remove the folder and start the run anew."
        )
    return None


@contextmanager
def _folder(folder: Path, keeper: Keeper, *, resume: bool) -> Iterator[None]:
    """The run folder. A new one stays after an error if an epoch is finished, and after Ctrl-C if a run began."""
    if resume:
        yield
        return
    with new_folder(folder, keep=lambda: keeper.saved > 0 or (keeper.stopped and keeper.began)):
        yield


def _draw(folder: Path, rows: list[dict[str, float]]) -> None:
    """The curves; all results are written already, so a failure is a warning."""
    try:
        write_file(folder / "curves.png", draw_curves(rows).savefig, overwrite=True)
    except Exception as error:  # matplotlib's own errors, a font that is missing, a full disk
        _log.warning("%s could not be drawn (%s); all else is written.", folder / "curves.png", error_text(error))


def _trainer(config: DetectionConfig, folder: Path, keeper: Keeper, *, progress: bool) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=config.epochs,
        check_val_every_n_epoch=config.evaluate_every,
        precision=config.precision,
        gradient_clip_val=config.clip_grad,
        callbacks=[keeper],
        plugins=[AtomicCheckpointIO()],
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _run(keeper: Keeper, work: Callable[[], object], trainer: lightning.Trainer) -> None:
    """A part of the run; Ctrl-C comes out as `KeyboardInterrupt`, not as the exit that Lightning makes of it.

    Errors say what is left of the run.
    """
    try:
        work()
    except (SystemExit, KeyboardInterrupt) as stop:
        keeper.stopped = True
        cause = stop if isinstance(stop, KeyboardInterrupt) else stop.__context__  # Lightning makes an exit of it
        if isinstance(stop, SIGTERMException):
            raise Terminated(signal.SIGTERM) from stop
        raise cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt from stop
    except (ValueError, OSError) as error:
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(_said(error, keeper)) from error
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        if keeper.began:
            raise
        raise ValueError(f"{keeper.folder / CHECKPOINT} does not fit the run: {error_text(error)}") from error
    if trainer.interrupted:
        keeper.stopped = True
        raise KeyboardInterrupt


def _said(error: Exception, keeper: Keeper) -> str:
    """An error in one line, with what is left."""
    text = str(error)
    if text.startswith("Caught "):  # in a process that reads pictures: torch puts its whole traceback there
        text = text.strip().splitlines()[-1].split(": ", 1)[-1]
    if keeper.saved:
        text += f" {keeper.folder} holds the run up to epoch {keeper.saved}; --resume goes on from there."
    return text
