"""One run: train, evaluate, draw, write; after an interruption, go on."""

from __future__ import annotations

import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from vig_pyg._io.output import write_file
from vig_pyg._io.text import error_text
from vig_pyg.artifact import BEST, write_weights
from vig_pyg.engine.checkpoint import LAST, CheckpointCallback
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.config_file import to_yaml
from vig_pyg.engine.data import TrainData
from vig_pyg.engine.describe import describe
from vig_pyg.engine.ema import EMA
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.preemption import PreemptionHandler, TrainingInterrupted
from vig_pyg.engine.preflight import check_run
from vig_pyg.engine.progress import ProgressBar
from vig_pyg.engine.run import CONFIG_YAML, open_run_folder
from vig_pyg.engine.sync_norm import sync_norms
from vig_pyg.engine.task import Task
from vig_pyg.engine.trainer import make_trainer, quiet_lightning
from vig_pyg.weights import load_weights, read_state


def fit(
    model: nn.Module,
    data: TrainData,
    config: TrainConfig,
    out: str | Path,
    *,
    weights: Any = None,
    overridden: Collection[str] = (),
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[lightning.Callback] = (),
) -> dict[str, float]:
    """Train a network and leave a run folder.

    The same arguments and a network with the same weights give the same weights, bit for bit on a CPU, also if the run
    is killed and resumed. In the end the network has the weights that are kept.

    Args:
        model: The network: of this library, perhaps with an operator or graph of one's own, or any other that takes
            the batches of the data.
        data: The images, which say what the task is.
        config: The numbers of the run.
        out: The run folder; it must not exist, unless the run is resumed.
        weights: Weights to start from, any source of `vig_pyg.weights.load_weights`.
        overridden: Options of the network that differ from those of `weights` on purpose.
        resume: Go on from the last checkpoint of `out`, or from the start if it has none; all else must be as it was.
        progress: Whether to show progress.
        callbacks: More of Lightning's, called before those that save; a state of theirs is saved too.

    Returns:
        The row of `metrics.csv` of the weights that are kept.

    Raises:
        FileExistsError: If `out` exists and is not resumed.
        ValueError: If the data and the network do not go together, the loss is not finite, or an image cannot be read.
        OSError: If something cannot be written, such as a checkpoint on a full disk; the one before is still there.
        TrainingInterrupted: If a signal asked to stop; the run can be resumed.
        KeyboardInterrupt: If a signal came before the first step, or after the last.
    """
    stop = PreemptionHandler(at_once=True)
    with stop.listening():
        place = check_run(model, data, config, Path(out), resume=resume)
        with open_run_folder(out, resume=resume, first=place.first) as folder, quiet_lightning():
            lightning.seed_everything(config.seed, verbose=False)
            if weights is not None and not (folder / LAST).exists():
                load_weights(model, weights, overridden=overridden)
            data.seed = config.seed
            task = data.make_task(model, config)
            history = MetricsHistory(
                task.monitor,
                folder,
                keep=config.keep,
                patience=config.patience,
                evaluate_every=config.evaluate_every,
            )
            trainer, saver = _prepare(task, data, folder, [history, *callbacks], stop=stop, progress=progress)
            if trainer.is_global_zero:
                # first what --resume needs: a run that is killed in between goes on
                write_file(folder / CONFIG_YAML, to_yaml(config), overwrite=True)
                data.write_config(folder, model)
            _run(trainer, task, data, saver)
            if not history.rows:
                raise ValueError(
                    f"{saver.path} says that the run is finished, but has no epoch: remove it to start again."
                )
            if trainer.is_global_zero:
                _load_kept(task, folder)
                write_weights(folder, model.state_dict())  # at once: what comes now is less than they are
                describe(folder, model, data, history, config)
    return history.kept


def _prepare(
    task: Task, data: TrainData, folder: Path, own: list[Any], *, stop: PreemptionHandler, progress: bool
) -> tuple[lightning.Trainer, CheckpointCallback]:
    """Make the trainer, with all callbacks in their order."""
    config = task.config
    saver = CheckpointCallback(folder, stop, every=config.checkpoint_every)
    callbacks: list[lightning.Callback] = [stop]
    if config.ema is not None:
        callbacks.append(EMA(config.ema, warmup=config.ema_warmup))
    callbacks += own
    if progress:
        callbacks.append(ProgressBar(own[0], batch_size=data.batch_size))
    trainer = make_trainer(config, folder, [*callbacks, saver])
    if config.sync_bn:
        sync_norms(task.model, trainer.strategy.root_device)
    return trainer, saver


def _run(trainer: lightning.Trainer, task: Task, data: TrainData, saver: CheckpointCallback) -> None:
    """All epochs, from the checkpoint on if there is one; what goes wrong is said with where to go on from."""
    checkpoint = saver.path if saver.path.exists() else None
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint)  # read by `AtomicCheckpointIO`
    except (SIGTERMException, SystemExit) as stop:  # Lightning's answers to SIGTERM and Ctrl-C
        if signum := saver.stop.signum or (signal.SIGTERM if isinstance(stop, SIGTERMException) else 0):
            raise TrainingInterrupted(signum) from stop
        raise KeyboardInterrupt from stop
    except (ValueError, OSError) as error:
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(_said(error, saver)) from error
    except (KeyError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        if checkpoint is None or saver.stop.started:
            raise
        raise ValueError(
            f"{checkpoint} is not a checkpoint of this run ({error_text(error, limit=300)}): remove it to start again."
        ) from error
    finally:
        data.end_workers()


def _load_kept(task: Task, folder: Path) -> None:
    """The weights that are kept, into the network, on the CPU."""
    state = {key: tensor.cpu() for key, tensor in task.scored[0].state_dict().items()}
    if task.config.keep == "best" and (folder / BEST).exists():
        state = dict(read_state(folder / BEST))
    try:
        task.model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{folder / BEST} holds weights of another network: {error_text(error, limit=300)}") from error
    task.model.cpu().float()


def _said(error: Exception, saver: CheckpointCallback) -> str:
    """Return an error in one line, with the checkpoint that is left."""
    text = str(error)
    if text.startswith("Caught "):  # in a process that loads images: torch puts its whole traceback there
        text = text.strip().splitlines()[-1].split(": ", 1)[-1]
    if saver.saved is not None:
        text += f" The last good checkpoint is {saver.path}, of step {saver.saved}."
    return text
