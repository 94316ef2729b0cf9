"""Samplers that distribute images over batches and processes; the global batches do not depend on the process count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from timm.data.distributed_sampler import RepeatAugSampler
from torch.utils.data import Sampler

from vig_pyg._io.numbers import counted
from vig_pyg.engine.seeds import seed_of

#: An index of `ImageDataset`: an image, an image with the seed of its augmentation, or `None` for padding.
Item = int | tuple[int, int] | None


class TrainBatches(Sampler[list[Item]]):
    """The shuffled batches of an epoch for one process; every item includes the seed of its augmentation.

    The order and the seeds depend only on the seed of the run and the epoch. A batch of `batch_size` images is divided
    into `accumulate` parts, and each process gets every `world`-th image of each part.

    Args:
        batch_size: Number of images in one optimizer step, over all processes.
        repeats: Number of copies of an image, which are close to each other in the order and augmented differently. The
            length of an epoch does not change (timm's `RepeatAugSampler`, as published). 1 means no repetition.
        accumulate: Number of parts of a batch whose gradients are added.
        groups: Group of each image, such as portrait or landscape. A batch, which is shared by all processes, then has
            images of one group; only what is left of the groups is mixed, at the end of the epoch. By default, there
            are no groups.

    Raises:
        ValueError: If the batch cannot be divided evenly, there are fewer images than one batch, or `groups` has
            another length than `count`.

    Example:
        >>> first, second = TrainBatches(4, batch_size=2, seed=0)
        >>> sorted(index for index, _ in first + second)
        [0, 1, 2, 3]
    """

    def __init__(
        self,
        count: int,
        *,
        batch_size: int,
        seed: int,
        repeats: int = 1,
        accumulate: int = 1,
        groups: Sequence[int] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if groups is not None and len(groups) != count:
            raise ValueError(f"groups needs one group for each of {count} images, got {len(groups)}.")
        if batch_size % (accumulate * world):
            raise ValueError(
                f"batch_size={batch_size} must be a multiple of accumulate={accumulate} times "
                f"{counted(world, 'processes')}, because it is the whole batch of a step."
            )
        if count < batch_size:
            raise ValueError(
                f"{count} training images are fewer than one batch of {batch_size}: pass a smaller batch_size, such as "
                f"{max(accumulate * world, count // 4)} (--batch-size {max(accumulate * world, count // 4)})."
            )
        self.count, self.batch_size, self.seed, self.repeats = count, batch_size, seed, repeats
        self.accumulate, self.groups, self.rank, self.world = accumulate, groups, rank, world
        self.epoch = self.skip = 0

    @property
    def sampler(self) -> Self:
        """Return the object itself, because Lightning looks for `set_epoch` in this attribute."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, unless it is the current one."""
        if epoch != self.epoch:
            self.seek(epoch, 0)

    def seek(self, epoch: int, skip: int) -> None:
        """Go to an epoch, and skip the batches that this process has already used."""
        self.epoch, self.skip = epoch, skip

    def order(self) -> list[int]:
        """Return the order of the images in this epoch; the last images, which do not fill a batch, are not used."""
        shuffled = self._shuffled()
        return shuffled if self.groups is None else grouped(shuffled, self.groups, self.batch_size)

    def _shuffled(self) -> list[int]:
        seed = seed_of(self.seed, self.epoch)
        if self.repeats == 1:
            return list(
                torch.randperm(self.count, generator=torch.Generator().manual_seed(seed), device="cpu").tolist()
            )
        rounding = 256 if self.count >= 256 else 0  # before version 1.0.31, timm rounds a small set down to 0 images
        repeated = RepeatAugSampler(
            range(self.count), num_replicas=1, rank=0, num_repeats=self.repeats, selected_round=rounding
        )
        repeated.set_epoch(seed)
        return list(repeated)

    @property
    def steps(self) -> int:
        """Number of optimizer steps in an epoch."""
        # timm's sampler rounds an epoch down to multiples of 256, if it is longer than that
        length = self.count if self.repeats == 1 or self.count < 256 else self.count // 256 * 256
        return max(1, length // self.batch_size)

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[Item]]:
        order, part = self.order(), self.batch_size // self.accumulate
        for i in range(self.skip, len(self)):
            places = range(i * part + self.rank, (i + 1) * part, self.world)
            yield [(order[p % len(order)], seed_of(self.seed, self.epoch, p)) for p in places]


def grouped(order: Sequence[int], groups: Sequence[int], size: int) -> list[int]:
    """Return an order of images whose batches have images of one group, except for the last images of all groups.

    A batch is complete as soon as its last image comes in the given order, so that the groups stay mixed over time.

    Args:
        order: Indices of images, in any order.
        groups: Group of each image.
        size: Number of images in a batch.

    Example:
        >>> grouped([0, 1, 2, 3, 4], [0, 1, 0, 1, 0], 2)
        [0, 2, 1, 3, 4]
    """
    waiting: dict[int, list[int]] = {}
    found: list[int] = []
    for index in order:
        batch = waiting.setdefault(groups[index], [])
        batch.append(index)
        if len(batch) == size:
            found += waiting.pop(groups[index])
    return found + [index for group in sorted(waiting) for index in waiting[group]]


class EvalBatches(Sampler[list[Item]]):
    """Every image once, distributed over the processes; each process has the same number of batches of the same size.

    If the images cannot be divided evenly, batches are padded with `None`, for which `ImageDataset` returns an image
    that is not counted.

    Example:
        >>> list(EvalBatches(3, batch_size=2, rank=1, world=2))
        [[1, None]]
    """

    def __init__(self, count: int, *, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.batch_size = batch_size
        share = -(-count // world)
        self.items: list[Item] = [i if i < count else None for i in range(rank, share * world, world)]

    @property
    def sampler(self) -> Self:
        """Return the object itself, because Lightning 2.5.0 looks for a shuffling sampler in this attribute."""
        return self

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, len(self.items), self.batch_size):
            yield self.items[start : start + self.batch_size]
