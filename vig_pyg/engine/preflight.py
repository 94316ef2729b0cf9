"""Checks before the first step of everything that a run needs until its end, the same in all processes."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from vig_pyg.artifact import CONFIG, read_config
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.data import TrainData
from vig_pyg.engine.processes import Processes, check_processes, processes
from vig_pyg.engine.run import check_run_folder
from vig_pyg.engine.trainer import placement

_log = logging.getLogger(__name__)


def check_run(model: nn.Module, data: TrainData, config: TrainConfig, out: Path, *, resume: bool) -> Processes:
    """Raise an error now for what would otherwise end the run later.

    Args:
        model: The network.
        data: The images.
        config: Configuration of the training.
        out: The run folder.
        resume: Whether the run folder is there already.

    Returns:
        What this process is among others.

    Raises:
        ImportError: If TensorBoard is wanted and missing; what draws is only missed in the log.
        OSError: If the run folder could not be made and filled.
        ValueError: If the processes are not those of one launcher, or a value goes with no data, network or batch.
    """
    processes()  # refuses incomplete variables before they are read
    devices, nodes = placement(config)
    place = check_processes(devices, nodes)
    check_extras(config, first=place.first)
    data.check(model, config, world=devices * nodes if isinstance(devices, int) else place.world)
    if place.first:
        check_run_folder(out, resume=resume, size=_size(model, config))
        _check_classes(data, out)
    return place


def _check_classes(data: TrainData, out: Path) -> None:
    """A run goes on with the classes that it began with."""
    if (out / CONFIG).is_file():
        began: Any = read_config(out / CONFIG).get("class_names")
        if began is not None and list(began) != list(data.class_names):
            raise ValueError(f"{data.title} has other classes than when the run in {out} began.")


def check_extras(config: TrainConfig, *, first: bool) -> None:
    """Packages that are only used on the way, or at the end.

    Args:
        config: Configuration of the training.
        first: Whether this process says what is missing.
    """
    if config.tensorboard and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise ImportError('tensorboard=true needs TensorBoard: pip install "vig-pyg[tensorboard]".')
    if first and not can_draw():
        _log.warning('matplotlib is missing, so the run gets no images: pip install "vig-pyg[plot]" for them.')


def can_draw() -> bool:
    """True if matplotlib is installed."""
    return find_spec("matplotlib") is not None


def _size(model: nn.Module, config: TrainConfig) -> int:
    """Estimate the largest size of a run folder: a checkpoint replaces another, beside two files of weights."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    checkpoint = weights * (3 if config.ema is None else 4)  # two moments of the optimizer, and the average
    return 2 * checkpoint + 2 * weights + 2**20
