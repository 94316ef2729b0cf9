"""Creation of a Lightning trainer, for one CPU or for many machines."""

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


def make_trainer(config: TrainConfig, folder: Path, callbacks: list[lightning.Callback]) -> lightning.Trainer:
    """Create the trainer of a run.

    Raises:
        ImportError: If `tensorboard` is true and TensorBoard is not installed.
        ValueError: If the devices do not exist, or do not support the precision.

    Example:
        >>> from vig_pyg.engine.config import TrainConfig
        >>> with quiet_lightning():
        ...     make_trainer(TrainConfig(epochs=3, accelerator="cpu"), Path("runs/mine"), []).max_epochs
        3
    """
    devices, nodes = placement(config)
    logger = TensorBoardLogger(folder, name="tensorboard", version="") if config.tensorboard else False
    make = partial(
        lightning.Trainer,
        max_epochs=config.epochs,
        callbacks=callbacks,
        precision=config.precision,
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=nodes,
        # `auto` may select one process; several processes always use DDP
        strategy="auto" if devices in (1, "auto") and nodes == 1 else "ddp",
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip_grad,
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,  # our samplers distribute the images
        enable_checkpointing=False,  # our own callback writes checkpoints
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=logger,
        default_root_dir=folder,
    )
    try:
        return make()
    except (MisconfigurationException, RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"This machine cannot train with accelerator={config.accelerator}, devices={devices}, num_nodes={nodes}, "
            f"precision={config.precision}: {error_text(error, limit=300)}"
        ) from error


def placement(config: TrainConfig) -> tuple[int | str, int]:
    """Return the numbers of processes per machine and of machines, from the configuration, torchrun or SLURM.

    Example:
        >>> from vig_pyg.engine.config import TrainConfig
        >>> placement(TrainConfig(devices=2, num_nodes=3))
        (2, 3)
    """
    env, devices, nodes = os.environ, config.devices, config.num_nodes
    if "LOCAL_WORLD_SIZE" in env:  # torchrun
        here = int(env["LOCAL_WORLD_SIZE"])
        return (here if devices == "auto" else devices), nodes or int(env["WORLD_SIZE"]) // here
    if "SLURM_NTASKS_PER_NODE" in env and "SLURM_PROCID" in env:
        here = int(env["SLURM_NTASKS_PER_NODE"])
        return (here if devices == "auto" else devices), nodes or int(env.get("SLURM_NNODES", 1))
    return devices, nodes or 1


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """A context that suppresses Lightning's advertisements and inapplicable advice."""
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
    # a small data set is decoded in less time than a worker needs to start
    ".*does not have many workers.*",
    # we log once per epoch
    ".*smaller than the logging interval.*",
    # Lightning uses a deprecated function of torch
    ".*LeafSpec.*",
    # the data module stores the position within an epoch, which Lightning expects in the loader
    ".*your dataloader is not resumable.*",
    # a frozen backbone is in evaluation mode
    ".*in eval mode at the start of training.*",
    # scores are already reduced over all processes
    ".*recommended to use `self.log.*sync_dist=True.*",
    # Lightning uses a deprecated function of torch
    ".*functional.all_gather is deprecated.*",
)
