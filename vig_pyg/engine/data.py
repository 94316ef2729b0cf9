"""Training and validation images of a task, and their data loaders."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from vig_pyg._io.cores import num_cores
from vig_pyg._io.output import Content
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.preemption import SIGNALS
from vig_pyg.engine.sampler import EvalBatches, TrainBatches
from vig_pyg.engine.task import Task
from vig_pyg.models import VisionGNN

Loader = DataLoader[Any]


@dataclass(frozen=True, kw_only=True)
class CardText:
    """The parts of a model card that depend on the task.

    Args:
        scores: Names of the scores and their values as text.
        command: A command that uses the network, with `{}` in place of the run folder.
        images: The images that the network accepts, as a sentence.
    """

    name: str
    purpose: str
    scores: dict[str, str]
    command: str
    images: str


def on_a(body: object) -> str:
    """Return the family of a backbone as the rest of a sentence, or `""` for another module."""
    return f" on a {type(body).__name__}" if isinstance(body, VisionGNN) else ""


class TrainData(lightning.LightningDataModule):
    """The images of a task and their data loaders, with batches that do not depend on processes or interruptions.

    A subclass defines `make_task`, `write_config`, `card` and, if there are more figures, `figures`.

    Args:
        title: Name of the data.
        train_set: Training images; an item is requested by an index, or by an index and a seed for the augmentation.
        val_set: Validation images; the index `None` returns a padding item that is not counted.
        class_names: Names of the classes.
        batch_size: Number of images in a step, over all processes.
        num_workers: Number of data loading processes for each training process, at most one for each core.
        collate: Function from a list of items to a batch; by default the items are stacked.

    Raises:
        ValueError: If `num_workers` is negative.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> images = TensorDataset(torch.rand(4, 3, 8, 8), torch.arange(4))
        >>> names = ["a", "b", "c", "d"]
        >>> TrainData("few", train_set=images, val_set=images, class_names=names, batch_size=2, num_workers=0).title
        'few'
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
        #: Seed of order and augmentation, and number of copies of each image (see `TrainBatches`); `fit` sets both.
        self.seed, self.repeats = 0, 1
        #: Group of each training image (see `TrainBatches`), or `None`; a task sets it.
        self.groups: list[int] | None = None
        #: The images that are left out because they cannot be read, each with the reason; a data source sets it.
        self.left_out: Sequence[str] = ()
        self._loaders: list[Loader] = []
        #: Epoch and batch at which training continues; a checkpoint contains them.
        self.place = (0, 0)

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps in an epoch."""
        return self._batches(world=1, accumulate=1).steps

    def make_task(self, model: nn.Module, config: TrainConfig) -> Task:
        """Create the task: the network with its loss and its scores on this data.

        Args:
            model: The network.
            config: The configuration of the training.

        Raises:
            NotImplementedError: If a subclass does not define this method.
        """
        raise NotImplementedError

    def check(self, model: nn.Module, config: TrainConfig, *, world: int) -> None:  # noqa: ARG002
        """Raise `ValueError` before the first step for problems that would stop the run later.

        Args:
            model: The network.
            config: The configuration of the training.
            world: Number of processes.

        Raises:
            ValueError: If there are no validation images, or the batches cannot be divided.
        """
        if not len(self.val_set):
            raise ValueError(f"{self.title} has no validation images.")
        self._batches(
            world=world, accumulate=config.accumulate
        )  # raises an error if batches cannot be divided, or if there are too few images

    def write_config(self, folder: Path, model: nn.Module) -> None:
        """Write `config.json`, which is needed to use the weights of a run.

        Args:
            folder: The run folder.
            model: The network.

        Raises:
            NotImplementedError: If a subclass does not define this method.
        """
        raise NotImplementedError

    def card(self, model: nn.Module, row: dict[str, float]) -> CardText:
        """Return the parts of the model card about the network and its scores.

        Args:
            model: The trained network.
            row: The row of the epoch whose weights are saved.

        Raises:
            NotImplementedError: If a subclass does not define this method.
        """
        raise NotImplementedError

    def loss_note(self, config: TrainConfig) -> str:  # noqa: ARG002
        """Return how the losses of a run are to be read, in sentences, or `""`.

        Args:
            config: The configuration of the run.
        """
        return ""

    def with_all_faults(self, error: str) -> str:
        """Return an error about an image together with the other images that cannot be read (see `engine.faults`).

        Args:
            error: The message. A subclass whose images are files returns it with the others.
        """
        return error

    def figures(self, model: nn.Module, counts: Any) -> dict[str, Callable[[], Content]]:  # noqa: ARG002
        """Return the figures of a finished run by file name; each is created when it is written.

        Args:
            model: The trained network, on the CPU.
            counts: `Task.counts` of the epoch whose weights are saved.
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
            groups=self.groups,
            rank=rank,
            world=world,
        )

    def _processes(self) -> tuple[int, int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size, trainer.accumulate_grad_batches) if trainer else (0, 1, 1)

    def _loader(self, images: Dataset[Any], batches: TrainBatches | EvalBatches) -> Loader:
        workers = min(self.num_workers, num_cores())
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
        """End the data loading processes; otherwise the traceback of an error would keep them alive."""
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
    """Keep the workers alive after a scheduler's signal, because the training process needs them to finish its step.

    When the training process exits, Python sends SIGTERM to the workers and waits for them. At that time, `over` is
    true.
    """

    def stay(*_: object) -> None:
        if over.value:
            os._exit(0)  # torch reports any other exit as a crash

    for signum in SIGNALS:
        signal.signal(signum, stay if signum == signal.SIGTERM else signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the training process is gone, even if it was killed.

    torch compares the process ID of the parent, but if a fork server starts the workers, this ID does not change.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


@cache
def _is_over() -> Any:
    """Return a value that is shared with the workers, and becomes true when this process exits."""
    over = RawValue(ctypes.c_bool, False)
    atexit.register(setattr, over, "value", True)
    return over
