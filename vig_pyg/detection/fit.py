"""One run of a detector: train, measure, draw, write; after an interruption, go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vig_pyg.detection._extra import require

require()

import lightning  # noqa: E402

from vig_pyg._files import write_file  # noqa: E402
from vig_pyg.detection.module import DetectorModule  # noqa: E402
from vig_pyg.detection.plan import Plan  # noqa: E402
from vig_pyg.detection.plots import draw_curves  # noqa: E402
from vig_pyg.detection.run_folder import (  # noqa: E402
    CHECKPOINT,
    read_plan,
    write_plan,
    write_rows,
    write_weights,
)
from vig_pyg.train.checkpoint_io import AtomicCheckpointIO  # noqa: E402
from vig_pyg.train.launch import quiet_lightning  # noqa: E402


class Keeper(lightning.Callback):
    """After each epoch: a row of numbers, the weights, and a checkpoint to go on from.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, float]] = []
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, DetectorModule)
        metrics = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("train_")}
        scores = {f"val_{name}": score for name, score in module.scores.items()}
        module.scores = {}
        seconds = time.perf_counter() - self._start
        self.rows.append({"epoch": trainer.current_epoch + 1, "seconds": round(seconds, 2), **metrics, **scores})
        write_rows(self.folder, self.rows)
        write_weights(self.folder, module.model)
        trainer.save_checkpoint(self.folder / CHECKPOINT)


def fit(
    plan: Plan | None,
    out: str | Path,
    *,
    resume: bool = False,
    measure_every: int = 1,
    num_workers: int = 2,
    progress: bool = True,
) -> dict[str, float]:
    """Train a detector and leave a run folder.

    The folder has `config.json` from the start, and after each epoch `metrics.csv`, `model.safetensors` and
    `checkpoint.ckpt`, each written beside its place and moved there. `curves.png` comes at the end.

    Args:
        plan: Detector, data and recipe; `None` to go on with the folder's.
        out: The run folder; it must not exist, but for `resume`.
        resume: Whether to go on after the last finished epoch of the folder. The result is that of a
            run without interruption.
        measure_every: Epochs between measurements of average precision; the last epoch is always measured.
        num_workers: Processes that read pictures.
        progress: Whether to show progress bars.

    Returns:
        The last row of `metrics.csv`.

    Raises:
        FileExistsError: If `out` exists and `resume` is not asked for.
        FileNotFoundError: If there is no run to resume, or pictures are missing.
        ValueError: If the loss is not finite or a picture cannot be used, with its name; or if both a plan and
            `resume` are given, or neither.
    """
    folder = Path(out)
    if (plan is None) != resume:
        raise ValueError("Pass a plan for a new run, or plan=None with resume=True to go on with a folder's plan.")
    if plan is None:
        plan, _, _ = read_plan(folder)
    elif folder.exists():
        raise FileExistsError(
            f"{folder} exists already and is not overwritten: choose another --out, or go on with --resume."
        )
    if measure_every < 1:
        raise ValueError(f"measure_every must be at least 1, got {measure_every}.")
    with quiet_lightning():
        lightning.seed_everything(plan.recipe.seed, workers=True, verbose=False)
        data = plan.data(num_workers=num_workers)
        source = data.train_set.source
        checkpoint = folder / CHECKPOINT if resume and (folder / CHECKPOINT).is_file() else None
        model = plan.model(len(source.class_names), pretrained=checkpoint is None)
        module, keeper = DetectorModule(model, data, plan.recipe), Keeper(folder)
        if not resume:
            folder.mkdir(parents=True)
            write_plan(folder, plan, source.class_names, source.category_ids)
        trainer = _trainer(plan, folder, keeper, measure_every=measure_every, progress=progress)
        _run(trainer, lambda: trainer.fit(module, datamodule=data, ckpt_path=checkpoint))
        if "val_AP" not in keeper.rows[-1]:
            _run(trainer, lambda: trainer.validate(module, datamodule=data, verbose=False))
            keeper.rows[-1] |= {f"val_{name}": score for name, score in module.scores.items()}
            write_rows(folder, keeper.rows)
        write_file(folder / "curves.png", draw_curves(keeper.rows).savefig, overwrite=True)
    return keeper.rows[-1]


def _trainer(plan: Plan, folder: Path, keeper: Keeper, *, measure_every: int, progress: bool) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=plan.recipe.epochs,
        check_val_every_n_epoch=measure_every,
        precision="bf16-mixed" if plan.recipe.precision == "bfloat16" else "32-true",
        gradient_clip_val=plan.recipe.clip,
        callbacks=[keeper],
        plugins=[AtomicCheckpointIO()],
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _run(trainer: lightning.Trainer, work: Callable[[], object]) -> None:
    """A part of the run; Ctrl-C comes out as `KeyboardInterrupt`, not as the exit that Lightning makes of it."""
    try:
        work()
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    if trainer.interrupted:
        raise KeyboardInterrupt
