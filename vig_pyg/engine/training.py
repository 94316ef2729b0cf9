"""One run: train, measure, draw, write."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from vig_pyg._io.output import write_file
from vig_pyg._io.text import error_text
from vig_pyg.artifact import write_config, write_weights
from vig_pyg.builders import create_model
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.module import Classifier
from vig_pyg.classification.run_folder import CONFIG_YAML, open_run_folder
from vig_pyg.engine.checkpoint import LAST, CheckpointCallback
from vig_pyg.engine.config_file import to_yaml
from vig_pyg.engine.describe import describe
from vig_pyg.engine.ema import EMA
from vig_pyg.engine.metrics import BEST, MetricsHistory
from vig_pyg.engine.preemption import PreemptionHandler, TrainingInterrupted
from vig_pyg.engine.preflight import check_run
from vig_pyg.engine.progress import ProgressBar
from vig_pyg.engine.sync_norm import sync_norms
from vig_pyg.engine.trainer import make_trainer, quiet_lightning
from vig_pyg.weights import load_weights, read_state


def fit(
    data: ImageData,
    out: str | Path,
    *,
    model: str,
    options: dict[str, Any],
    recipe: ClassificationConfig,
    weights: str | Path | None = None,
    progress: bool = True,
    resume: bool = False,
    callbacks: Sequence[lightning.Callback] = (),
) -> dict[str, float]:
    """Train a classifier and leave a run folder.

    The same arguments give the same weights, bit for bit on a CPU, also if the run is killed and resumed.

    Args:
        data: The images.
        out: The run folder; it must not exist, unless the run is resumed.
        model: A name of `list_models()`.
        options: Options of the model; the channels, the size and the number of classes come from the data.
        recipe: The numbers of the run.
        weights: Weights to start from, in any layout of `load_weights`.
        progress: Whether to show progress.
        callbacks: More of Lightning's, called before those that save; a state of theirs is saved too.
        resume: Go on from the last checkpoint of `out`, or from the start if it has none; all else must be as it was.

    Returns:
        The row of `metrics.csv` of the weights that are kept.

    Raises:
        FileExistsError: If `out` exists and is not resumed.
        ValueError: If there is one class only, the loss is not finite, or a picture cannot be read.
        OSError: If something cannot be written, such as a checkpoint on a full disk; the one before is still there.
        TrainingInterrupted: If a signal asked to stop; the run can be resumed.
        KeyboardInterrupt: If a signal came before the first step, or after the last.
    """
    options = {
        **options,
        "num_classes": len(data.class_names),
        "in_channels": data.preprocessing.in_channels,
        "image_size": data.preprocessing.image_size,
    }
    stop = PreemptionHandler(at_once=True)
    with stop.listening():
        place = check_run(data, Path(out), model=model, options=options, recipe=recipe, resume=resume)
        with open_run_folder(out, resume=resume, first=place.first) as folder, quiet_lightning():
            lightning.seed_everything(recipe.seed, verbose=False)
            network = create_model(model, **options)
            if weights is not None and not (folder / LAST).exists():
                load_weights(network, weights, overridden=options)
            counts = torch.bincount(torch.tensor(data.train_set.labels), minlength=len(data.class_names))
            classifier = Classifier(network, recipe, class_counts=counts)
            data.seed, data.repeats = recipe.seed, recipe.repeats
            history = MetricsHistory(folder, keep=recipe.keep, patience=recipe.patience)
            own = [history, *callbacks]
            trainer, saver = _prepare(classifier, data, folder, own, stop=stop, progress=progress)
            if trainer.is_global_zero:
                write_config(folder, network, class_names=data.class_names, preprocessing=data.preprocessing)
                write_file(folder / CONFIG_YAML, to_yaml(recipe), overwrite=True)
            _run(trainer, classifier, data, saver)
            if trainer.is_global_zero:
                _load_kept(classifier, folder)
                write_weights(folder, network.state_dict())  # at once: what comes now is less than they are
                describe(folder, network, data, history, name=model, recipe=recipe)
    return history.kept


def _prepare(
    classifier: Classifier, data: ImageData, folder: Path, own: list[Any], *, stop: PreemptionHandler, progress: bool
) -> tuple[lightning.Trainer, CheckpointCallback]:
    """The trainer, with all callbacks in their order."""
    recipe = classifier.recipe
    saver = CheckpointCallback(folder, stop, every=recipe.checkpoint_every)
    callbacks: list[lightning.Callback] = [stop]
    if recipe.ema is not None:
        callbacks.append(EMA(recipe.ema, warmup=recipe.ema_warmup))
    callbacks += own
    if progress:
        callbacks.append(ProgressBar(own[0], batch_size=data.batch_size))
    trainer = make_trainer(recipe, folder, [*callbacks, saver])
    if recipe.sync_bn:
        sync_norms(classifier.model, trainer.strategy.root_device)
    return trainer, saver


def _run(trainer: lightning.Trainer, classifier: Classifier, data: ImageData, saver: CheckpointCallback) -> None:
    """All epochs, from the checkpoint on if there is one; what goes wrong is said with where to go on from."""
    checkpoint = saver.path if saver.path.exists() else None
    try:
        trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint)  # read by `AtomicCheckpointIO`
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


def _load_kept(classifier: Classifier, folder: Path) -> None:
    """The weights that are kept, into the network, on the CPU."""
    state = {key: tensor.cpu() for key, tensor in classifier.scored[0].state_dict().items()}
    if classifier.recipe.keep == "best":
        state = dict(read_state(folder / BEST))
    try:
        classifier.model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{folder / BEST} holds weights of another network: {error_text(error, limit=300)}") from error
    classifier.model.cpu().float()


def _said(error: Exception, saver: CheckpointCallback) -> str:
    """An error in one line, with the checkpoint that is left."""
    text = str(error)
    if text.startswith("Caught "):  # in a process that loads pictures: torch puts its whole traceback there
        text = text.strip().splitlines()[-1].split(": ", 1)[-1]
    if saver.saved is not None:
        text += f" The last good checkpoint is {saver.path}, of step {saver.saved}."
    return text
