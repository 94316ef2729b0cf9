"""The model card and the figures of a run, created after its weights are saved; a failure is only logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from vig_pyg._io.output import Content, write_file
from vig_pyg._io.text import error_text
from vig_pyg.artifact import CARD
from vig_pyg.engine.card import model_card
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.data import TrainData
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.plots import draw_curves
from vig_pyg.engine.preflight import can_draw
from vig_pyg.engine.run import CURVES

_log = logging.getLogger(__name__)


def describe(folder: Path, model: nn.Module, data: TrainData, history: MetricsHistory, config: TrainConfig) -> None:
    """Write `README.md`, `curves.png` and the figures of the task; if one fails, a warning gives the reason."""
    parts: dict[str, Callable[[], Content]] = {}
    if can_draw():
        parts |= {CURVES: partial(_curves, data, history, config), **data.figures(model, history.counts)}
    parts[CARD] = lambda: model_card(folder, model, data, history, config)  # the last one: with it, a run is complete
    for file, make in parts.items():
        try:
            write_file(folder / file, make(), overwrite=True)
        except Exception as error:  # no error here may discard the trained weights
            _log.warning(
                "%s was not written (%s: %s). The run is complete without it.",
                folder / file,
                type(error).__name__,
                error_text(error, limit=300),
            )


def _curves(data: TrainData, history: MetricsHistory, config: TrainConfig) -> Content:
    steps, note = len(history.rows) * data.steps_per_epoch, data.loss_note(config)
    return draw_curves(
        history.rows, steps=steps, val_images=len(data.val_set), step_losses=history.steps, note=note
    ).savefig
