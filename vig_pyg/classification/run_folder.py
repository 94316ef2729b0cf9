"""The folder of a run: weights with all that is needed to use them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from vig_pyg._io.bounded_json import read_json
from vig_pyg._io.output import check_free, check_new_folder, new_folder, write_file
from vig_pyg._io.schema import Check, choice, mapping, read_as
from vig_pyg.builders import create_model, list_models
from vig_pyg.checkpoints.metadata import file_metadata
from vig_pyg.classification.checkpoint import LAST
from vig_pyg.classification.metrics import BEST, METRICS
from vig_pyg.config import variant_config
from vig_pyg.config_schema import check_names, check_size, check_weights_hold, options_of, read_preprocessing
from vig_pyg.models import VisionGNN
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights import load_weights, read_state

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
#: The settings of a run, as `--config` takes them.
RECIPE = "recipe.yaml"
#: All files of a run.
OUTPUTS = (CONFIG, RECIPE, LAST, BEST, METRICS, WEIGHTS, "README.md", "curves.png", "confusion.png", "graph.png")


@dataclass(frozen=True)
class Run:
    """A trained model, ready for pictures.

    Args:
        model: In evaluation mode.
        class_names: One for each logit.
        preprocessing: What to do with a picture.
    """

    model: VisionGNN[Any]
    class_names: list[str]
    preprocessing: Preprocessing


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
    """The name, with a number behind it where it is taken."""
    out, i = Path(out), 1
    candidate = out
    while os.path.lexists(candidate):
        i += 1
        candidate = out.with_name(f"{out.name}-{i}")
    return candidate


def save_weights(folder: Path, state: dict[str, Any]) -> None:
    """The weights that `load_run` takes."""
    tensors = {key: tensor.contiguous().cpu() for key, tensor in state.items()}
    write_file(folder / WEIGHTS, save(tensors, metadata=file_metadata(state)), overwrite=True)


def save_config(folder: Path, *, name: str, overrides: dict[str, Any], data: dict[str, Any]) -> None:
    """What is needed to use the weights of a run.

    Args:
        folder: Where to write.
        name: Name of the model for `create_model`.
        overrides: Its options for `create_model`.
        data: `class_names` and `preprocessing`.
    """
    preprocessing = asdict(data["preprocessing"])
    config = {"model": name, "options": overrides, "class_names": data["class_names"], "preprocessing": preprocessing}
    write_file(folder / CONFIG, json.dumps(config, indent=2) + "\n", overwrite=True)


def load_run(folder: str | Path) -> Run:
    """The model of a run folder.

    Raises:
        FileNotFoundError: If it is not a run folder.
        ValueError: If the weights do not fit the configuration.
    """
    folder = Path(folder)
    if (folder / LAST).is_file() and not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(
            f"The run in {folder} is not complete: `vig-pyg train --resume {folder}` goes on with it."
        )
    for part in (CONFIG, WEIGHTS):
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{folder} is not a run folder: it has no {part}. `vig-pyg train` makes one.")
    where = str(folder / CONFIG)
    with read_as("the configuration of a run", where):
        config = check_config(read_json(where), where)
        check_weights_hold(lambda: create_model(config["model"], **config["options"]), folder / WEIGHTS, where)
        model = create_model(config["model"], **config["options"])
    load_weights(model, read_state(folder / WEIGHTS))
    return Run(model.eval(), config["class_names"], config["preprocessing"])


def check_config(content: dict[str, Any], where: str) -> dict[str, Any]:
    """The entries of a run's configuration, with a `Preprocessing`; nothing is built.

    Args:
        content: What `config.json` holds.
        where: Its name for errors.

    Raises:
        ValueError: If something is missing, unknown, out of its bounds, or does not go with the rest.
    """
    if content.get("kind") == "detector":
        raise ValueError(f"{where}: it is the configuration of a detector: use `vig-pyg detect`.")
    config: dict[str, Any] = _CONFIG(content, where)
    config["options"] = options_of(config["model"])(config["options"], f"{where}: options")
    config["preprocessing"] = read_preprocessing(config["preprocessing"], f"{where}: preprocessing")
    made = variant_config(config["model"]).override(config["options"])
    check_size(made, config["preprocessing"].image_size, where)
    classes, channels = len(config["class_names"]), config["preprocessing"].in_channels
    if made.num_classes != classes or made.in_channels != channels:
        raise ValueError(
            f"{where} has {classes} class_names and images of {channels} channels, and a model for "
            f"{made.num_classes} classes and {made.in_channels} channels: they do not belong together."
        )
    return config


def _as_it_is(value: Any, _: str) -> Any:
    """Checked when the model is known."""
    return value


_ENTRIES: dict[str, Check] = {
    "model": choice(list_models()),
    "options": _as_it_is,
    "class_names": check_names,
    "preprocessing": _as_it_is,
}
_CONFIG = mapping(_ENTRIES, required=tuple(_ENTRIES))
