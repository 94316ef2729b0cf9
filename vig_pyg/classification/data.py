"""Pictures with labels, and the loaders that training takes them from."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from multiprocessing.sharedctypes import RawValue
from typing import Any

import lightning
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vig_pyg.classification.augment import AugmentedImage
from vig_pyg.classification.config import Augmentation
from vig_pyg.engine.preemption import SIGNALS
from vig_pyg.engine.sampler import EvalBatches, Item, TrainBatches
from vig_pyg.engine.seeds import seeded
from vig_pyg.image_io import UnreadableImageError, read_image
from vig_pyg.preprocess import Picture, Preprocessing

#: Label of an image that only fills a batch up.
IGNORE = -100

Loader = DataLoader[tuple[Tensor, int]]


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Pictures with labels, through a transform.

    Args:
        sources: Files, or pictures as arrays `(H, W)` or `(H, W, C)`.
        labels: Class of each.
        transform: From a picture to a tensor.
    """

    def __init__(
        self, sources: Sequence[str | np.ndarray], labels: Sequence[int], transform: Callable[[Any], Tensor]
    ) -> None:
        self.sources = sources
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: Item) -> tuple[Tensor, int]:
        """The image and label of an index; of a pair (index, seed) with its own random numbers; of `None` nothing."""
        if item is None:
            return torch.zeros_like(self.transform(self.picture(0))), IGNORE
        if isinstance(item, tuple):
            with seeded(item[1]):
                return self[item[0]]
        return self._made(item, self.transform), self.labels[item]

    def picture(self, i: int) -> Picture:
        """The image as it was read.

        Raises:
            UnreadableImageError: If it cannot be read, with the name of its file.
            FileNotFoundError: If there is no such file.
        """
        return self._made(i, lambda picture: picture)

    def _made(self, i: int, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of an image; what is wrong with the image is said with the name of its file."""
        source = self.sources[i]
        if isinstance(source, np.ndarray):
            # a gray or colored image in memory is taken as it is by a model with other channels
            plain = source.dtype == np.uint8 and (source.ndim == 2 or source.shape[2] in (3, 4))
            return make(Image.fromarray(source) if plain else source)
        try:
            return make(read_image(source))
        except UnreadableImageError as error:
            reason = str(error).rstrip(".")
            raise UnreadableImageError(
                f"{source} cannot be read as an image ({reason}); remove it, or use --on-broken skip."
            ) from error

    def hold(self, prepare: Callable[[Picture], Any]) -> None:
        """Read all images now and keep what `prepare` makes of them, as arrays in memory."""
        with ThreadPoolExecutor() as pool:  # PIL decodes without the interpreter's lock
            self.sources = list(pool.map(lambda i: _array(self._made(i, prepare)), range(len(self))))


class ImageData(lightning.LightningDataModule):
    """Two sets of pictures, the names of the classes, the preprocessing; and how they are loaded.

    Args:
        title: Name of the data.
        train: Sources and labels to train on.
        val: Sources and labels held out.
        class_names: One for each label.
        preprocessing: What a picture goes through; in training the augmentation takes its place.
        augmentation: Of training images.
        batch_size: Images of a step, over all processes.
        num_workers: Processes that load, for each process that trains.
        cache: Keep all decoded pictures in memory, for training with a short side of at most so many pixels.

    Raises:
        ValueError: If `batch_size` is below 2, or the cache smaller than the images.
    """

    def __init__(
        self,
        title: str,
        *,
        train: tuple[Sequence[str | np.ndarray], Sequence[int]],
        val: tuple[Sequence[str | np.ndarray], Sequence[int]],
        class_names: list[str],
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        batch_size: int,
        num_workers: int,
        cache: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 (batch norm needs several images), got {batch_size}.")
        if cache is not None and cache < preprocessing.image_size:
            raise ValueError(f"cache={cache} pixels is less than image_size={preprocessing.image_size}.")
        self.title, self.class_names, self.preprocessing = title, class_names, preprocessing
        self.batch_size, self.num_workers, self.cache = batch_size, num_workers, cache
        self.train_set = ImageDataset(*train, AugmentedImage(augmentation, preprocessing))
        self.val_set = ImageDataset(*val, preprocessing)
        #: Seed of order and augmentation, and copies of an image (see `TrainBatches`); `fit` sets them.
        self.seed, self.repeats = 0, 1
        self._held = False
        self._loaders: list[Loader] = []
        #: Epoch and batch where training goes on; part of a checkpoint.
        self.place = (0, 0)

    def setup(self, stage: str) -> None:
        """Fill the cache, once."""
        if self.cache is None or stage != "fit" or self._held:
            return
        self._held = True
        # converted first: what is held looks to the augmentation as what is read
        self.train_set.hold(lambda picture: _smaller(self.preprocessing.convert(picture), self.cache or 0))
        self.val_set.hold(self.preprocessing.crop)  # exactly what the preprocessing makes, so that scores stay
        self.val_set.transform = _CroppedBefore(self.preprocessing)

    def train_dataloader(self) -> Loader:
        trainer = self.trainer
        batches = TrainBatches(
            len(self.train_set),
            batch_size=self.batch_size,
            seed=self.seed,
            repeats=self.repeats,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            world=trainer.world_size if trainer else 1,
        )
        batches.seek(*self.place)
        return self._loader(self.train_set, batches)

    def val_dataloader(self) -> Loader:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        each = max(1, self.batch_size // (world * (trainer.accumulate_grad_batches if trainer else 1)))
        return self._loader(self.val_set, EvalBatches(len(self.val_set), batch_size=each, rank=rank, world=world))

    def _loader(self, pictures: ImageDataset, batches: TrainBatches | EvalBatches) -> Loader:
        workers = self.num_workers
        loader: Loader = DataLoader(
            pictures,
            batch_sampler=batches,
            num_workers=workers,
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
    """A value shared with the workers: whether this process exits."""
    over = RawValue(ctypes.c_bool, False)
    atexit.register(setattr, over, "value", True)
    return over


class _CroppedBefore:
    """The preprocessing of pictures that were cropped before."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    def __call__(self, picture: Picture) -> Tensor:
        return self.preprocessing.tensor(self.preprocessing.convert(picture))


def _smaller(image: Image.Image | Tensor, side: int) -> Image.Image | Tensor:
    """A converted image with a short side of at most `side` pixels; arrays stay as they are."""
    if isinstance(image, Tensor) or min(image.size) <= side:
        return image
    ratio = side / min(image.size)
    width, height = (max(side, round(length * ratio)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _array(image: Picture | Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) else np.asarray(image)
