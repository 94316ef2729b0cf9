"""Training and validation images of a task, and the loaders that training takes them from."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from vig_pyg._io.output import Content
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.preemption import SIGNALS
from vig_pyg.engine.sampler import EvalBatches, TrainBatches
from vig_pyg.engine.task import Task

Loader = DataLoader[Any]


@dataclass(frozen=True, kw_only=True)
class CardText:
    """The parts of a model card that only the task knows.

    Args:
        name: Name of the network.
        purpose: Purpose of the network, as a sentence.
        scores: Names of scores and their values in words.
        command: A command that uses it, with `{}` in place of the run folder.
        images: Description of the images that the network takes, as a sentence.
    """

    name: str
    purpose: str
    scores: dict[str, str]
    command: str
    images: str


class TrainData(lightning.LightningDataModule):
    """Images of a task, and how they are loaded: the same batches for any number of processes, and after any stop.

    A kind of data defines `make_task`, `write_config`, `card` and, where there is more to draw, `figures`.

    Args:
        title: Name of the data set.
        train_set: Images to train on; an item is an index, or an index with the seed of its augmentation.
        val_set: Images held out; the item `None` fills a batch up and counts for nothing.
        class_names: Names of the classes.
        batch_size: Number of images of a step, over all processes.
        num_workers: Number of processes that read images, for each process that trains.
        collate: Function that makes a batch from a list of items; by default they are stacked.

    Raises:
        ValueError: If `num_workers` is negative.
    """

    def __init__(
        self,
        title: str,
        *,
        train_set: Dataset[Any],
        val_set: Dataset[Any],
        class_names: list[str],
        batch_size: int,
        num_workers: int,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        super().__init__()
        if num_workers < 0:
            raise ValueError(f"num_workers must be at least 0, got {num_workers}.")
        self.title, self.class_names = title, class_names
        self.train_set: Any = train_set
        self.val_set: Any = val_set
        self.batch_size, self.num_workers, self.collate = batch_size, num_workers, collate
        #: Seed of order and augmentation, and copies of an image (see `TrainBatches`); `fit` sets them.
        self.seed, self.repeats = 0, 1
        self._loaders: list[Loader] = []
        #: Epoch and batch where training goes on; part of a checkpoint.
        self.place = (0, 0)

    def make_task(self, model: nn.Module, config: TrainConfig) -> Task:
        """Make the network's task, with its loss and scores on this data."""
        raise NotImplementedError

    def check(self, model: nn.Module, config: TrainConfig, *, world: int) -> None:  # noqa: ARG002
        """Raise `ValueError` before the first step for what would end the run later.

        Args:
            model: The network.
            config: Configuration of the training.
            world: Number of processes.
        """
        if not len(self.val_set):
            raise ValueError(f"{self.title} has no held-out images to evaluate on.")
        self._batches(
            world=world, accumulate=config.accumulate
        )  # refuses batches that cannot be cut, and too few images

    def write_config(self, folder: Path, model: nn.Module) -> None:
        """Write `config.json`: what is needed to use the weights of a run."""
        raise NotImplementedError

    def card(self, model: nn.Module, row: dict[str, float]) -> CardText:
        """Return what the model card says about the network and the scores in a row of `metrics.csv`."""
        raise NotImplementedError

    def figures(self, model: nn.Module, counts: Any) -> dict[str, Callable[[], Content]]:  # noqa: ARG002
        """Figures of a finished run by the names of their files; each is made when it is written.

        Args:
            model: The trained network, on the CPU.
            counts: `Task.counts` of the epoch that is kept.
        """
        return {}

    def train_dataloader(self) -> Loader:
        rank, world, accumulate = self._processes()
        batches = self._batches(rank=rank, world=world, accumulate=accumulate)
        batches.seek(*self.place)
        return self._loader(self.train_set, batches)

    def val_dataloader(self) -> Loader:
        rank, world, accumulate = self._processes()
        each = max(1, self.batch_size // (world * accumulate))
        return self._loader(self.val_set, EvalBatches(len(self.val_set), batch_size=each, rank=rank, world=world))

    def _batches(self, *, world: int, accumulate: int, rank: int = 0) -> TrainBatches:
        return TrainBatches(
            len(self.train_set),
            batch_size=self.batch_size,
            seed=self.seed,
            repeats=self.repeats,
            accumulate=accumulate,
            rank=rank,
            world=world,
        )

    def _processes(self) -> tuple[int, int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size, trainer.accumulate_grad_batches) if trainer else (0, 1, 1)

    def _loader(self, images: Dataset[Any], batches: TrainBatches | EvalBatches) -> Loader:
        workers = self.num_workers
        loader: Loader = DataLoader(
            images,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=self.collate,
            persistent_workers=workers > 0,
            worker_init_fn=partial(_stay_until_told, _is_over()) if workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        self._loaders.append(loader)
        return loader

    def end_workers(self) -> None:
        """End the processes that load; after an error its traceback keeps them, and the exit would wait for them."""
        for loader in self._loaders:
            iterator = getattr(loader, "_iterator", None)
            if iterator is not None:
                iterator._shutdown_workers()
                loader._iterator = None
        self._loaders = []

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place = tuple(state_dict["place"])


def _stay_until_told(over: Any, _: int) -> None:
    """A scheduler's signal goes to all processes; the one that trains needs its workers to finish its step.

    When that one exits, Python ends its workers by the same signal and waits for them; then `over` is set.
    """

    def stay(*_: object) -> None:
        if over.value:
            os._exit(0)  # torch calls anything else a crash

    for signum in SIGNALS:
        signal.signal(signum, stay if signum == signal.SIGTERM else signal.SIG_IGN)


@cache
def _is_over() -> Any:
    """Make a value shared with the workers: true when this process exits."""
    over = RawValue(ctypes.c_bool, False)
    atexit.register(setattr, over, "value", True)
    return over
