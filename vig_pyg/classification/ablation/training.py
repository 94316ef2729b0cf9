"""The training runs of an ablation: one classifier for each variant and seed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning
from rich.console import Console
from rich.progress import TaskID

from vig_pyg._io.numbers import percent
from vig_pyg._io.text import terminal_text
from vig_pyg.classification.ablation.folder import AblationFolder, Run
from vig_pyg.classification.ablation.variant import Variant
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.engine import fit
from vig_pyg.engine.progress import training_bar
from vig_pyg.models import VisionGNN

#: Function that measures a trained network on its data, and returns the names and values of additional columns.
Measure = Callable[[VisionGNN[Any], ImageData], Mapping[str, float]]


class Clock(lightning.Callback):
    """Counts the seconds of a run, including those before an interruption, and reports each training step.

    Args:
        advance: Function that is called with the number of finished steps.

    Example:
        >>> Clock(lambda steps: None).state_dict()["seconds"] < 1
        True
    """

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance
        self.before, self.start = 0.0, time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds of the run, including those before an interruption."""
        return self.before + time.perf_counter() - self.start

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.before, self.start = state_dict["seconds"], time.perf_counter()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.advance(trainer.global_step)


def train_run(
    folder: AblationFolder,
    variant: Variant,
    seed: int,
    data: ImageData,
    config: ClassificationConfig,
    options: Mapping[str, Any],
    *,
    advance: Callable[[int], None] = lambda _: None,
    measure: Measure | None = None,
) -> Run:
    """Train one variant with one seed, and return its scores; a stopped run continues from its last checkpoint.

    Args:
        advance: Function that is called with the number of finished steps.
        measure: Function that measures the trained network, for more columns.

    Returns:
        `top1` in percent, `val_loss`, `train_loss`, `seconds`, and the values of `measure`.

    Raises:
        TrainingInterrupted: If a signal stopped the run.
        ValueError: If the loss is not finite, or the variant does not fit the data.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg.classification import DigitsData
        >>> from vig_pyg.classification.ablation.variant import changed
        >>> with TemporaryDirectory() as root:
        ...     folder = AblationFolder(f"{root}/a", {})
        ...     train_run(folder, changed("none", "k = 0", k=0), 0, DigitsData(), ClassificationConfig(), {})
        Traceback (most recent call last):
        ValueError: k must be at least 1, got 0.
    """
    lightning.seed_everything(seed, verbose=False)
    model = variant.make(config.model, dict(options))
    every = config.epochs if config.keep == "last" and config.patience is None else config.evaluate_every
    config = replace(config, seed=seed, devices=1, evaluate_every=every)
    out, clock = folder.started(variant, seed), Clock(advance)
    score = fit(
        model, data, config, out, weights=config.weights, overridden=[*options, "conv", "graph"],
        resume=out.is_dir(), progress=False, callbacks=[clock],
    )  # fmt: skip
    more = {} if measure is None else measure(model.eval(), data)
    result: Run = {"top1": 100 * score["val_accuracy"], "val_loss": score["val_loss"]}
    return {**result, "train_loss": score["train_loss"], "seconds": clock.seconds(), **more}


def train_all(
    folder: AblationFolder,
    missing: Sequence[tuple[Variant, int]],
    data: ImageData,
    config: ClassificationConfig,
    options: Mapping[str, Any],
    *,
    environment: Mapping[str, Any],
    measure: Measure | None = None,
    progress: bool = True,
) -> None:
    """Train every missing run; each is saved as soon as it is finished, and its run folder is removed.

    Args:
        environment: Facts that are saved with each run, such as versions.
        measure: Function that measures each trained network, for more columns.
    """
    steps = config.epochs * max(1, len(data.train_set) // config.batch_size)
    console = Console(stderr=True, quiet=not progress)
    with training_bar(console) as bar:
        task: TaskID = bar.add_task("all steps", total=steps * len(missing), visible=bool(missing), speed="")
        for turn, (variant, seed) in enumerate(missing):
            name = terminal_text(variant.name)
            bar.update(task, description=f"{name}, seed {seed} (run {turn + 1} of {len(missing)})")

            def advance(done: int, turn: int = turn) -> None:
                bar.update(task, completed=turn * steps + done)

            result = train_run(folder, variant, seed, data, config, options, advance=advance, measure=measure)
            folder.save(variant, seed, {**result, "environment": dict(environment)})
            shutil.rmtree(folder.started(variant, seed), ignore_errors=True)
            bar.update(task, completed=(turn + 1) * steps)
            line = f"{name}, seed {seed}: {percent(result['top1'] / 100)} in {result['seconds']:.0f} s"
            bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
