"""A Lightning trainer for a configuration, on one CPU or on many machines."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger

from vig_pyg._io.text import error_text
from vig_pyg.engine.checkpoint_io import AtomicCheckpointIO
from vig_pyg.engine.config import TrainConfig


def make_trainer(recipe: TrainConfig, folder: Path, callbacks: list[lightning.Callback]) -> lightning.Trainer:
    """Make the trainer of a run.

    Args:
        recipe: Configuration of the training.
        folder: The run folder.
        callbacks: The callbacks, in this order.

    Raises:
        ImportError: If TensorBoard's files are wanted and TensorBoard is not installed.
        ValueError: If there are no such devices here, or they know no such precision.
    """
    devices, nodes = placement(recipe)
    logger = TensorBoardLogger(folder, name="tensorboard", version="") if recipe.tensorboard else False
    make = partial(
        lightning.Trainer,
        max_epochs=recipe.epochs,
        callbacks=callbacks,
        precision=recipe.precision,
        accelerator=recipe.accelerator,
        devices=devices,
        num_nodes=nodes,
        # what `auto` takes may be one process; several are always DDP
        strategy="auto" if devices in (1, "auto") and nodes == 1 else "ddp",
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.clip_grad,
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,  # ours share out the images
        enable_checkpointing=False,  # our own callback writes them
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=logger,
        default_root_dir=folder,
    )
    try:
        return make()
    except (MisconfigurationException, RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"This machine cannot train with accelerator={recipe.accelerator}, devices={devices}, num_nodes={nodes}, "
            f"precision={recipe.precision}: {error_text(error, limit=300)}"
        ) from error


def placement(recipe: TrainConfig) -> tuple[int | str, int]:
    """Processes on this machine and machines: those of the configuration, else those of torchrun or SLURM."""
    env, devices, nodes = os.environ, recipe.devices, recipe.num_nodes
    if "LOCAL_WORLD_SIZE" in env:  # torchrun
        here = int(env["LOCAL_WORLD_SIZE"])
        return (here if devices == "auto" else devices), nodes or int(env["WORLD_SIZE"]) // here
    if "SLURM_NTASKS_PER_NODE" in env and "SLURM_PROCID" in env:
        here = int(env["SLURM_NTASKS_PER_NODE"])
        return (here if devices == "auto" else devices), nodes or int(env.get("SLURM_NNODES", 1))
    return devices, nodes or 1


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """A context without Lightning's advertisements and advice that does not apply here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NOT_HERE:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


#: Warnings of Lightning that do not apply here.
_NOT_HERE = (
    # the images of a small set are decoded faster than a worker starts
    ".*does not have many workers.*",
    # we log once an epoch
    ".*smaller than the logging interval.*",
    # trees of modules that torch itself still builds the old way, inside Lightning
    ".*LeafSpec.*",
    # the data module knows where to go on within an epoch, Lightning looks for that in the loader
    ".*your dataloader is not resumable.*",
    # a frozen backbone is in evaluation mode
    ".*in eval mode at the start of training.*",
    # scores are of all processes already
    ".*recommended to use `self.log.*sync_dist=True`.*",
)
