"""The folder of a run: weights with all that is needed to use them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from vig_pyg.models import VisionGNN, create_model
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights import load_weights

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


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


@contextmanager
def new_run_folder(out: str | Path) -> Iterator[Path]:
    """A folder to fill, that takes its name when all is written; nothing is left of it after an error.

    Args:
        out: The name; it must not exist.

    Raises:
        FileExistsError: If it exists: a run is never overwritten.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists already and is not overwritten: choose another --out, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp's are for the owner alone
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def free_name(out: str | Path) -> Path:
    """The name, with a number behind it where it is taken."""
    out, i = Path(out), 1
    candidate = out
    while candidate.exists():
        i += 1
        candidate = out.with_name(f"{out.name}-{i}")
    return candidate


def save_run(
    folder: Path, model: VisionGNN[Any], *, name: str, overrides: dict[str, Any], data: dict[str, Any]
) -> None:
    """Weights and configuration of a run.

    Args:
        folder: Where to write.
        model: The trained model.
        name: Its name for `create_model`.
        overrides: Its options for `create_model`.
        data: `class_names` and `preprocessing`.
    """
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / WEIGHTS)
    preprocessing = asdict(data["preprocessing"])
    config = {"model": name, "options": overrides, "class_names": data["class_names"], "preprocessing": preprocessing}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load_run(folder: str | Path) -> Run:
    """The model of a run folder.

    Raises:
        FileNotFoundError: If it is not a run folder.
        ValueError: If the weights do not fit the configuration.
    """
    folder = Path(folder)
    for part in (CONFIG, WEIGHTS):
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{folder} is not a run folder: it has no {part}. `vig-pyg train` makes one.")
    try:
        config = json.loads((folder / CONFIG).read_text())
        model = create_model(config["model"], **config["options"])
        preprocessing = Preprocessing(**config["preprocessing"])
        class_names = list(config["class_names"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} is not the configuration of a run ({error!r}).") from error
    load_weights(model, load_file(folder / WEIGHTS))
    return Run(model.eval(), class_names, preprocessing)
