"""Samplers of batches: the global batches are the same whatever the number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import torch
from timm.data.distributed_sampler import RepeatAugSampler
from torch.utils.data import Sampler

from vig_pyg.engine.seeds import seed_of

#: What `ImageDataset` takes: an image, an image with the seed of its augmentation, or nothing (padding).
Item = int | tuple[int, int] | None


class TrainBatches(Sampler[list[Item]]):
    """Shuffled batches of an epoch, for one process; every item carries the seed of its augmentation.

    The order and the seeds depend on the run's seed and the epoch alone. A batch of `batch_size` images is cut into
    `accumulate` parts, and of each part every process takes every `world`-th image.

    Args:
        count: Number of images.
        batch_size: Number of images of one optimizer step, over all processes.
        seed: Seed of the run.
        repeats: Repeated augmentation: so many copies of an image close to each other, each augmented in its own way,
            while an epoch stays as long (timm's `RepeatAugSampler`, as published); 1 is off.
        accumulate: Number of parts of a batch, whose gradients are added.
        rank: This process.
        world: Number of processes.

    Raises:
        ValueError: If the batch cannot be cut evenly, or there are fewer images than one batch.

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
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size % (accumulate * world):
            raise ValueError(
                f"batch_size={batch_size} is the whole batch of a step; it must be a multiple of "
                f"accumulate={accumulate} times {world} processes."
            )
        if count < batch_size:
            raise ValueError(f"{count} training images are less than one batch of {batch_size}.")
        self.count, self.batch_size, self.seed, self.repeats = count, batch_size, seed, repeats
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.epoch = self.skip = 0

    @property
    def sampler(self) -> Self:
        """Lightning looks here for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; if it is another than now, to its beginning."""
        if epoch != self.epoch:
            self.seek(epoch, 0)

    def seek(self, epoch: int, skip: int) -> None:
        """Go to an epoch and leave out its first batches of this process, which are done already."""
        self.epoch, self.skip = epoch, skip

    def order(self) -> list[int]:
        """Return the images of this epoch; those that do not fill a batch are left out at the end."""
        seed = seed_of(self.seed, self.epoch)
        if self.repeats == 1:
            return list(
                torch.randperm(self.count, generator=torch.Generator().manual_seed(seed), device="cpu").tolist()
            )
        rounding = 256 if self.count >= 256 else 0  # timm before 1.0.31 would leave nothing of a small set
        repeated = RepeatAugSampler(
            range(self.count), num_replicas=1, rank=0, num_repeats=self.repeats, selected_round=rounding
        )
        repeated.set_epoch(seed)
        return list(repeated)

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
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


class EvalBatches(Sampler[list[Item]]):
    """Every image once, shared among processes; all of them make the same number of batches of the same size.

    Where the images do not come out even, `None` fills up; `ImageDataset` makes of it an image that counts for nothing.

    Args:
        count: Number of images.
        batch_size: Number of images of a batch of this process.
        rank: This process.
        world: Number of processes.

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
        """Lightning 2.5.0 looks here for a shuffling sampler."""
        return self

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, len(self.items), self.batch_size):
            yield self.items[start : start + self.batch_size]
