"""The training part of the ablations: one classifier for each variant and seed, scored once, after its last epoch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from ablation import Variant
from benchmarks.harness import environment
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vig_pyg.classification import ClassificationConfig, DigitsData, FolderData, ImageData
from vig_pyg.classification.data import ImageDataset
from vig_pyg.engine import TrainingInterrupted, fit


def load_data(settings: dict[str, Any], workers: int) -> ImageData:
    """The images of an ablation; the choice of `images_per_class` is the same for all variants and seeds."""
    options = {"image_size": settings["image_size"], "batch_size": settings["batch_size"]}
    data: ImageData
    if settings["data"] == "digits":
        data = DigitsData(**options)
    else:
        data = FolderData(settings["data"], num_workers=workers, **options)
    if settings["images_per_class"] is not None:
        data.train_set = _few(data.train_set, settings["images_per_class"])
    return data


def _few(pictures: ImageDataset, count: int) -> ImageDataset:
    labels, draw = np.array(pictures.labels), np.random.default_rng(0)
    rows = [draw.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)]
    kept = np.concatenate(rows)
    return ImageDataset([pictures.sources[i] for i in kept], labels[kept].tolist(), pictures.transform)


class Steps(lightning.Callback):
    """Moves a progress bar on with every training step."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self.advance = advance

    def on_train_batch_end(self, *_: Any) -> None:
        self.advance()


def train(
    variant: Variant, seed: int, data: ImageData, options: dict[str, Any], settings: dict[str, Any], steps: Steps
) -> dict[str, Any]:
    """One run: the held-out accuracy after the last epoch, and how it came about."""
    start = time.perf_counter()
    lightning.seed_everything(seed, workers=True, verbose=False)
    model = variant.make(settings["model"], options)
    epochs = settings["epochs"]
    config = ClassificationConfig(
        lr=settings["lr"], seed=seed, epochs=epochs, evaluate_every=epochs, batch_size=data.batch_size, devices=1
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            score = fit(model, data, config, Path(folder) / "run", progress=False, callbacks=[steps])
        except TrainingInterrupted as stop:
            raise KeyboardInterrupt from stop
    return {
        "top1": 100 * score["val_accuracy"],
        "val_loss": score["val_loss"],
        "train_loss": score["train_loss"],
        "seconds": time.perf_counter() - start,
        "environment": environment(),
    }


def train_all(
    missing: list[tuple[Variant, int]],
    data: ImageData,
    options: dict[str, Any],
    settings: dict[str, Any],
    save: Callable[[Variant, int, dict[str, Any]], None],
) -> None:
    """Every missing run, seed after seed, so that a stopped ablation has all variants."""
    steps = settings["epochs"] * (len(data.train_set) // settings["batch_size"])
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console()
    with Progress(*columns, console=console, disable=not missing) as progress:
        whole = progress.add_task("all steps", total=steps * len(missing))
        for turn, (variant, seed) in enumerate(missing):
            progress.update(whole, description=f"{variant.name}, seed {seed} (run {turn + 1} of {len(missing)})")
            result = train(variant, seed, data, options, settings, Steps(lambda: progress.advance(whole)))
            save(variant, seed, result)
            progress.console.print(
                f"{variant.name}, seed {seed}: {result['top1']:.2f} % in {result['seconds']:.0f} s", highlight=False
            )
