"""Checks before the first step of everything that a run needs until its end, the same in all processes."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from vig_pyg.builders import create_model
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.run_folder import check_run_folder
from vig_pyg.config import variant_config
from vig_pyg.config_schema import check_names, check_size, options_of, read_preprocessing
from vig_pyg.conv import resolve_conv
from vig_pyg.engine.processes import Processes, check_processes
from vig_pyg.engine.sampler import TrainBatches
from vig_pyg.engine.trainer import placement
from vig_pyg.graph import resolve_graph

_log = logging.getLogger(__name__)


def check_run(
    data: ImageData, out: Path, *, model: str, options: dict[str, Any], recipe: ClassificationConfig, resume: bool
) -> Processes:
    """Raise an error now for what would otherwise end the run later.

    Args:
        data: The images.
        out: The run folder.
        model: Name of the network.
        options: All of its options.
        recipe: How it is trained.
        resume: Whether the run folder is there already.

    Returns:
        What this process is among others.

    Raises:
        ImportError: If TensorBoard is wanted and missing; what draws is only missed in the log.
        OSError: If the run folder could not be made and filled.
        ValueError: If the processes are not those of one launcher, or a value goes with no data, network or batch.
    """
    devices, nodes = placement(recipe)
    place = check_processes(devices, nodes)
    check_extras(recipe, first=place.first)
    _check_data(data, recipe, devices * nodes if isinstance(devices, int) else place.world)
    network = _check_network(data, model, options)
    if place.first:
        check_run_folder(out, resume=resume, size=_size(network, recipe))
    return place


def check_extras(recipe: ClassificationConfig, *, first: bool) -> None:
    """Packages that are only used on the way, or at the end.

    Args:
        recipe: How the network is trained.
        first: Whether this process says what is missing.
    """
    if recipe.tensorboard and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise ImportError('tensorboard=true needs TensorBoard: pip install "vig-pyg[tensorboard]".')
    if first and not can_draw():
        _log.warning('matplotlib is missing, so the run gets no images: pip install "vig-pyg[plot]" for them.')


def can_draw() -> bool:
    """Whether there is something to draw with."""
    return find_spec("matplotlib") is not None


def _check_data(data: ImageData, recipe: ClassificationConfig, world: int) -> None:
    if len(data.class_names) < 2:
        raise ValueError(
            f"Need pictures of at least two classes to tell apart, got {', '.join(data.class_names)} alone."
        )
    if not len(data.val_set):
        raise ValueError(f"{data.title} has no held-out images to measure on.")
    TrainBatches(  # refuses batches that cannot be cut, and too few images
        len(data.train_set),
        batch_size=data.batch_size,
        seed=recipe.seed,
        repeats=recipe.repeats,
        accumulate=recipe.accumulate,
        world=world,
    )
    each = data.batch_size // (recipe.accumulate * world)
    if (recipe.mixup or recipe.cutmix) and each % 2:
        raise ValueError(f"mixup and cutmix pair images: each process needs an even batch, got {each}.")


def _check_network(data: ImageData, model: str, options: dict[str, Any]) -> torch.nn.Module:
    """The network without memory for its weights; whatever it is made of can be read back from the run folder."""
    base = variant_config(model)
    try:
        config = base.override(options)
    except (TypeError, IndexError):  # of values, which the check names; an unknown option is named already
        if options.keys() <= {field.name for field in fields(base)}:
            options_of(model)(options, "the run: options")
        raise
    resolve_conv(config.conv, heads=config.heads)
    resolve_graph(config.graph)
    checked = options_of(model)(options, "the run: options")
    check_names(data.class_names, "the run: class_names")
    read_preprocessing(asdict(data.preprocessing), "the run: preprocessing")
    check_size(config, data.preprocessing.image_size, "the run")
    with torch.device("meta"):
        network = create_model(model, **checked)
    patches = math.ceil(config.image_size / config.patch_size) ** 2
    if patches < config.k_range[0]:
        _log.warning(
            "An image of %d pixels a side has %d patches, fewer than the k=%d neighbors: a smaller patch_size than %d "
            "gives the graphs more nodes.",
            config.image_size,
            patches,
            config.k_range[0],
            config.patch_size,
        )
    return network


def _size(network: torch.nn.Module, recipe: ClassificationConfig) -> int:
    """Bytes of a run folder at its largest: while a checkpoint replaces another, beside two files of weights."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    checkpoint = weights * (3 if recipe.ema is None else 4)  # two moments of the optimizer, and the average
    return 2 * checkpoint + 2 * weights + 2**20
