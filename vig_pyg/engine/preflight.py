"""Checks of everything that a run needs until its end; all processes perform them before the first step."""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from vig_pyg._io.text import terminal_text
from vig_pyg._requirements import missing_message
from vig_pyg.artifact import CONFIG, describe, read_config
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.data import TrainData
from vig_pyg.engine.processes import Processes, check_processes, processes
from vig_pyg.engine.run import check_run_folder
from vig_pyg.engine.trainer import placement

_log = logging.getLogger(__name__)


def check_run(model: nn.Module, data: TrainData, config: TrainConfig, out: Path, *, resume: bool) -> Processes:
    """Raise an error before the first step for problems that would otherwise stop the run later.

    Raises:
        ImportError: If `tensorboard` is true and TensorBoard is missing. (If matplotlib is missing, this is logged.)
        OSError: If the run folder cannot be created or written.
        TypeError: If `data` or `config` has another type.
        ValueError: If the environment variables do not come from one launcher, or if a value does not fit the data, the
            network or the batch.
    """
    for value, kind in ((data, TrainData), (config, TrainConfig)):
        if not isinstance(value, kind):
            raise TypeError(f"Expected an instance of {kind.__name__}, got {type(value).__name__}.")
    processes()  # raises an error for incomplete variables before they are used
    devices, nodes = placement(config)
    place = check_processes(devices, nodes)
    check_extras(config, first=place.first)
    data.check(model, config, world=devices * nodes if isinstance(devices, int) else place.world)
    if place.first:
        check_run_folder(out, resume=resume, size=_size(model, config))
        _check_resumed(model, data, out)
    return place


def _check_resumed(model: nn.Module, data: TrainData, out: Path) -> None:
    """Check that a resumed run has the same classes and the same network as before."""
    if not (out / CONFIG).is_file():
        return
    began: Any = read_config(out / CONFIG)
    names = began.get("class_names")
    if names is not None and list(names) != list(data.class_names):
        raise ValueError(f"The classes of {data.title} differ from those with which the run in {out} started.")
    before, now = (_entries(one) for one in (began.get("model"), json.loads(json.dumps(describe(model)[1]))))
    other = [
        f"{key}={before[key]}, now {now[key]}" for key in before if key in now and not _same(before[key], now[key])
    ]
    if other:
        raise ValueError(
            f"The run in {out} started with another network ({terminal_text('; '.join(other), limit=300)}): pass the "
            "same one. A run that was started in Python continues there, with fit(..., resume=True)."
        )


def _entries(model: Any, start: str = "") -> dict[str, Any]:
    """Return the entries that describe a network in `config.json`, nested ones by dotted names."""
    found: dict[str, Any] = {}
    for name, value in model.items() if isinstance(model, dict) else ():
        found |= _entries(value, f"{start}{name}.") if isinstance(value, dict) else {f"{start}{name}": value}
    return found


def _same(one: Any, other: Any) -> bool:
    """True if two values are equal; code may have another module name, as in a script and when it is imported."""
    ends = [value.rpartition(":")[2] if isinstance(value, str) else value for value in (one, other)]
    return bool(one == other or ends[0] == ends[1])


def check_extras(config: TrainConfig, *, first: bool) -> None:
    """Check the optional packages that are used during the run or at its end."""
    if config.tensorboard and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise ImportError(missing_message("tensorboard=true needs TensorBoard", "tensorboard"))
    if first and not can_draw():
        _log.warning(missing_message("matplotlib is missing, so the run has no figures", "plot"))


def can_draw() -> bool:
    """True if matplotlib is installed."""
    return find_spec("matplotlib") is not None


def _size(model: nn.Module, config: TrainConfig) -> int:
    """Estimate the largest size of a run folder in bytes: two checkpoints and two weight files."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    # The weights, two moments of the optimizer and, if used, the moving average.
    checkpoint = weights * (3 if config.ema is None else 4)
    return 2 * checkpoint + 2 * weights + 2**20
