"""Images in batches, the unreadable ones set aside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vig_pyg.image_io import UnreadableImageError, read_image
from vig_pyg.preprocess import Preprocessing


@dataclass(frozen=True)
class ImageBatch:
    """A batch of images.

    Args:
        places: Places of the readable images in the list of all, in order.
        images: The images that could be read, `(B, C, S, S)`; `None` if there are none.
        broken: Place of each other image, and the reason why it could not be read.
    """

    places: list[int]
    images: Tensor | None
    broken: dict[int, str]


class _Readable(Dataset[tuple[int, Tensor | str]]):
    """Place and image, or place and the reason why there is none."""

    def __init__(self, paths: Sequence[Path], preprocessing: Preprocessing) -> None:
        self.paths = paths
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[int, Tensor | str]:
        try:
            return i, self.preprocessing(read_image(self.paths[i]))
        except (UnreadableImageError, FileNotFoundError) as error:
            return i, str(error)


def batches(
    paths: Sequence[Path], preprocessing: Preprocessing, *, batch_size: int, num_workers: int
) -> Iterator[ImageBatch]:
    """Yield batches of all images in order.

    Args:
        paths: The files.
        preprocessing: Preprocessing of the images.
        batch_size: Number of images of a batch.
        num_workers: Number of processes that read images; 0 reads in this one.

    Raises:
        ValueError: If `batch_size` is below 1 or `num_workers` below 0.
    """
    if batch_size < 1 or num_workers < 0:
        raise ValueError(f"Need batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}.")
    num_workers = min(num_workers, _num_cpus(), -(-len(paths) // batch_size))
    loader = DataLoader(
        _Readable(paths, preprocessing), batch_size, num_workers=num_workers, collate_fn=_collate, shuffle=False
    )
    yield from loader


def _num_cpus() -> int:
    """Count the CPUs that this process may use; torch warns of more processes."""
    allowed = getattr(os, "sched_getaffinity", None)  # only some systems have it
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _collate(items: list[tuple[int, Tensor | str]]) -> ImageBatch:
    images = {i: item for i, item in items if isinstance(item, Tensor)}
    broken = {i: item for i, item in items if isinstance(item, str)}
    return ImageBatch(list(images), torch.stack(list(images.values())) if images else None, broken)
