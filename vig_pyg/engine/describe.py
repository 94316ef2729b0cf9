"""The card and the images of a run, made when its weights are safe: what cannot be made is missed in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vig_pyg._io.output import Content, write_file
from vig_pyg._io.text import error_text
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.plots import draw_confusion, draw_curves
from vig_pyg.engine.card import model_card
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.preflight import can_draw
from vig_pyg.explain import draw_graph
from vig_pyg.models import VisionGNN

_log = logging.getLogger(__name__)


def describe(
    folder: Path,
    network: VisionGNN[Any],
    data: ImageData,
    history: MetricsHistory,
    *,
    name: str,
    recipe: ClassificationConfig,
) -> None:
    """Write `README.md`, `curves.png`, `confusion.png` and `graph.png`; a failure of one is a warning with the reason.

    Args:
        folder: The run's folder.
        network: The trained network, on the CPU.
        data: What it was trained on.
        history: The scores of all epochs.
        name: Name of the network.
        recipe: How it was trained.
    """

    def confusion() -> Content:
        assert history.counts is not None
        return draw_confusion(history.counts, data.class_names).savefig

    def graph() -> Content:
        image, _ = data.val_set[0]
        with torch.no_grad():
            graphs = network.eval().graphs(image[None])
        return draw_graph(data.preprocessing.restore(image), graphs).savefig

    parts: dict[str, Callable[[], Content]] = {
        "README.md": lambda: model_card(folder, network, data, history, name=name, recipe=recipe)
    }
    if can_draw():
        parts |= {
            "curves.png": lambda: draw_curves(history.rows).savefig,
            "confusion.png": confusion,
            "graph.png": graph,
        }
    for file, make in parts.items():
        try:
            write_file(folder / file, make(), overwrite=True)
        except Exception as error:  # whatever it is, the training was not in vain
            _log.warning(
                "%s was not written (%s: %s). The run is complete without it.",
                folder / file,
                type(error).__name__,
                error_text(error, limit=300),
            )
