"""One run: train, measure, draw, write."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch

from vig_pyg.explain import draw_graph
from vig_pyg.models import VisionGNN, create_model
from vig_pyg.train.classifier import Classifier, History
from vig_pyg.train.data import ImageData
from vig_pyg.train.plots import draw_confusion, draw_curves
from vig_pyg.train.run_folder import new_run_folder, save_run
from vig_pyg.weights import load_weights


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Numbers of a training run.

    Args:
        epochs: Passes over the training images, at least 1.
        lr: Largest learning rate; 2e-3 is published for batches of 1024.
        weight_decay: 0.05 is the published value.
        warmup: Share of the steps with a rising rate.
        label_smoothing: 0.1 is the published value.
        seed: Of weights, order and augmentation.
    """

    epochs: int = 20
    lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lr <= 0:
            raise ValueError(f"Need epochs >= 1 and lr > 0, got epochs={self.epochs} and lr={self.lr}.")


def fit(
    data: ImageData,
    out: str | Path,
    *,
    model: str,
    options: dict[str, Any],
    recipe: Recipe,
    weights: str | Path | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """Train a classifier and leave a run folder.

    Args:
        data: The images.
        out: The run folder; it must not exist. It appears when all is done.
        model: A name of `list_models()`.
        options: Options of the model; the channels, the size and the number of classes come from the data.
        recipe: The numbers of the run.
        weights: Weights to start from, in any layout of `load_weights`.
        progress: Whether to show progress bars.

    Returns:
        The last row of `metrics.csv`.

    Raises:
        FileExistsError: If `out` exists.
        ValueError: If the loss is not finite, or a picture cannot be read.
    """
    options = {
        **options,
        "num_classes": len(data.class_names),
        "in_channels": data.preprocessing.in_channels,
        "image_size": data.preprocessing.image_size,
    }
    with new_run_folder(out) as folder, quiet_lightning():
        lightning.seed_everything(recipe.seed, workers=True, verbose=False)
        network = create_model(model, **options)
        if weights is not None:
            load_weights(network, weights)
        classifier = Classifier(
            network,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            warmup=recipe.warmup,
            label_smoothing=recipe.label_smoothing,
        )
        history = _run(classifier, data, recipe.epochs, folder, progress=progress)
        history.write(folder / "metrics.csv")
        about = {"class_names": data.class_names, "preprocessing": data.preprocessing}
        save_run(folder, network, name=model, overrides=options, data=about)
        draw_curves(history.rows).savefig(folder / "curves.png")
        draw_confusion(classifier.confusion.compute(), data.class_names).savefig(folder / "confusion.png")
        _draw_first(network, data, folder / "graph.png")
    return history.rows[-1]


def _run(classifier: Classifier, data: ImageData, epochs: int, folder: Path, *, progress: bool) -> History:
    """All epochs; Ctrl-C comes out as `KeyboardInterrupt`, not as the exit that Lightning makes of it."""
    history = History()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[history],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        default_root_dir=folder,
    )
    try:
        trainer.fit(classifier, datamodule=data)
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    if trainer.interrupted:
        raise KeyboardInterrupt
    return history


def _draw_first(network: VisionGNN[Any], data: ImageData, path: Path) -> None:
    """The graph of the first validation image."""
    image, _ = data.val_set[0]
    with torch.no_grad():
        graphs = network.eval().cpu().graphs(image[None])
    draw_graph(data.preprocessing.restore(image), graphs).savefig(path)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's advertisements and advice that does not apply here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # the images of a small set are decoded faster than a worker starts
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            # we log once an epoch
            warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
            # trees of modules that torch itself still builds the old way, inside Lightning
            warnings.filterwarnings("ignore", ".*LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
