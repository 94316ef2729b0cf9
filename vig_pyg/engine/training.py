"""One training run: training, evaluation, figures and files; an interrupted run can be resumed."""

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
from vig_pyg.engine.first_statistics import FirstStatistics
from vig_pyg.engine.low_precision import warn_of_slow_bfloat16
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.preemption import PreemptionHandler, TrainingInterrupted
from vig_pyg.engine.preflight import check_run
from vig_pyg.engine.processes import processes
from vig_pyg.engine.progress import ProgressBar
from vig_pyg.engine.run import CONFIG_YAML, LEFT_OUT, left_out_csv, open_run_folder
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
    """Train a network and write a run folder.

    On a CPU, the same arguments and the same initial weights give bit for bit the same final weights, even if the run
    is killed and resumed. After the run, the network has the weights that were saved.

    Args:
        model: The network, which is a model of this library (possibly with your own operator or graph), or any other
            module that accepts the batches of the data.
        data: The images, which also define the task.
        config: The configuration of the run.
        out: The run folder, which must not exist, unless the run is resumed.
        weights: Weights to start from; any source of `vig_pyg.weights.load_weights`.
        overridden: Names of network options that differ from those of `weights` on purpose.
        resume: If true, continue from the last checkpoint in `out`, or from the start if there is none. All other
            arguments must be the same as before.
        progress: If true, progress is shown.
        callbacks: Additional Lightning callbacks, which are called before the callbacks that save. Their state is saved
            in checkpoints.

    Returns:
        The row of `metrics.csv` for the saved weights.

    Raises:
        FileExistsError: If `out` exists and `resume` is false.
        TypeError: If `data` or `config` has another type.
        ValueError: If the data and the network do not match, the loss is not finite, or an image cannot be read.
        OSError: If a file cannot be written, such as a checkpoint on a full disk; the previous checkpoint still exists.
        TrainingInterrupted: If a signal stopped the run; the run can be resumed.
        KeyboardInterrupt: If a signal came before the first step or after the last.

    Example:
        >>> from vig_pyg import vig_micro
        >>> from vig_pyg.classification import DigitsData, load_config
        >>> model = vig_micro(in_channels=1, image_size=28, num_classes=10)
        >>> row = fit(model, DigitsData(), load_config("digits"), "runs/mine")  # doctest: +SKIP
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
                warn_of_slow_bfloat16(config.precision, trainer.strategy.root_device)
                # the files that --resume needs are written first, so that a killed run can be resumed
                write_file(folder / CONFIG_YAML, to_yaml(config), overwrite=True)
                data.write_config(folder, model)
                if data.left_out:
                    write_file(folder / LEFT_OUT, left_out_csv(data.left_out), overwrite=True)
            _run(trainer, task, data, saver)
            if not history.rows:
                raise ValueError(
                    f"{saver.path} is marked as finished, but contains no epoch: remove it to start again."
                )
            if trainer.is_global_zero:
                _load_kept(task, folder)
                write_weights(folder, model.state_dict())  # written first, because the other files matter less
                describe(folder, model, data, history, config)
    return history.kept


def _prepare(
    task: Task, data: TrainData, folder: Path, own: list[Any], *, stop: PreemptionHandler, progress: bool
) -> tuple[lightning.Trainer, CheckpointCallback]:
    """Create the trainer with all callbacks in order."""
    config = task.config
    saver = CheckpointCallback(folder, stop, every=config.checkpoint_every)
    callbacks: list[lightning.Callback] = [stop, FirstStatistics()]
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
    """Run all epochs, from the checkpoint if there is one; error messages name the checkpoint from which to resume."""
    checkpoint = saver.path if saver.path.exists() else None
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint)  # `AtomicCheckpointIO` reads the checkpoint
    except (SIGTERMException, SystemExit) as stop:  # Lightning raises these after SIGTERM and Ctrl-C
        if signum := saver.stop.signum or (signal.SIGTERM if isinstance(stop, SIGTERMException) else 0):
            raise TrainingInterrupted(signum) from stop
        raise KeyboardInterrupt from stop
    except (ValueError, OSError) as error:
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(_said(error, saver, data)) from error
    except (KeyError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        if checkpoint is None or saver.stop.started:
            raise
        raise ValueError(
            f"{checkpoint} is not a checkpoint of this run ({error_text(error, limit=300)}): remove it to start again."
        ) from error
    finally:
        data.end_workers()


def _load_kept(task: Task, folder: Path) -> None:
    """Load the saved weights into the network on the CPU."""
    state = {key: tensor.cpu() for key, tensor in task.scored[0].state_dict().items()}
    if task.config.keep == "best" and (folder / BEST).exists():
        state = dict(read_state(folder / BEST))
    try:
        task.model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{folder / BEST} contains weights of another network: {error_text(error, limit=300)}"
        ) from error
    task.model.cpu().float()


def _said(error: Exception, saver: CheckpointCallback, data: TrainData) -> str:
    """Return an error message with all images that cannot be read, and the last good checkpoint."""
    text = str(error)
    if text.startswith("Caught "):  # for an error in a data loading process, torch adds the whole traceback
        text = text.strip().splitlines()[-1].split(": ", 1)[-1]
    if processes().first:
        text = data.with_all_faults(text)
    if saver.saved is not None:
        good = f"The last good checkpoint is {saver.path}, of step {saver.saved}."
        text = f"{good} {text}" if "\n" in text else f"{text} {good}"  # a list of images ends a message
    return text
