"""The folder of a detector's run: its plan, its weights, and what is needed to go on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from safetensors.torch import save

from vig_pyg._io.bounded_json import read_json
from vig_pyg._io.output import write_file
from vig_pyg._io.schema import read_as
from vig_pyg.detection.builders import Detector
from vig_pyg.detection.config_schema import check_config
from vig_pyg.detection.plan import Plan

PLAN = "config.json"
WEIGHTS = "model.safetensors"
CHECKPOINT = "checkpoint.ckpt"
METRICS = "metrics.csv"


def write_plan(folder: Path, plan: Plan, class_names: list[str], category_ids: list[int]) -> None:
    """The plan and the classes as `config.json`.

    Raises:
        TypeError: If an option of the plan is no plain number or name.
    """
    content = {"kind": "detector", **plan.to_dict(), "class_names": class_names, "category_ids": category_ids}
    text = json.dumps(content, indent=2) + "\n"
    write_file(folder / PLAN, text, overwrite=True)


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


def read_plan(folder: str | Path) -> tuple[Plan, list[str], list[int]]:
    """The plan of a run folder and its classes, checked; nothing is built or fetched.

    Raises:
        FileNotFoundError: If it is not the folder of a detector's run.
        ValueError: If its configuration cannot be read.
    """
    path = Path(folder) / PLAN
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no {PLAN}. `vig-pyg detect train` makes one.")
    with read_as("the configuration of a detector", str(path)):
        content = check_config(read_json(path), str(path))
        names, ids = content.pop("class_names"), content.pop("category_ids")
        del content["kind"]
        return Plan.from_dict(content), names, ids
