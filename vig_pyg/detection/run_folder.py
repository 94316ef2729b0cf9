"""The folder of a detector's run: its configuration, its weights, and what is needed to resume it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from safetensors.torch import save

from vig_pyg._io.bounded_yaml import read_yaml
from vig_pyg._io.output import write_file
from vig_pyg.artifact import write_config
from vig_pyg.detection.builders import Detector
from vig_pyg.detection.config import DetectionConfig, make_config
from vig_pyg.detection.records import DetectionDataset
from vig_pyg.engine.config_file import to_yaml

CONFIG_YAML = "config.yaml"
WEIGHTS = "model.safetensors"
CHECKPOINT = "checkpoint.ckpt"
METRICS = "metrics.csv"


def write_run(folder: Path, config: DetectionConfig, model: Detector, source: DetectionDataset) -> None:
    """What the run is made of, as `config.yaml`, and what is needed to use the detector, as `config.json`.

    Args:
        folder: The run's folder.
        config: What it is trained with.
        model: The detector.
        source: The images that it is trained on, with the classes.
    """
    write_config(folder, model, class_names=source.class_names, category_ids=source.category_ids)
    write_file(folder / CONFIG_YAML, to_yaml(config), overwrite=True)


def write_weights(folder: Path, model: Detector) -> None:
    """The weights as `model.safetensors`."""
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    write_file(folder / WEIGHTS, save(state), overwrite=True)


def write_rows(folder: Path, rows: list[dict[str, float]]) -> None:
    """The numbers of each epoch as `metrics.csv`; a column is empty where an epoch was not measured."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_file(folder / METRICS, text.getvalue(), overwrite=True)


def read_run(folder: str | Path) -> DetectionConfig:
    """The configuration of a run folder, checked; nothing is built or fetched.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If it is not the folder of a detector's run.
        ValueError: If its configuration cannot be read.
    """
    path = Path(folder) / CONFIG_YAML
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a run folder: it has no {CONFIG_YAML}. `vig-pyg detect train` makes one."
        )
    return make_config((str(path), read_yaml(path)))
