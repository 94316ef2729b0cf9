"""Batches of images from files; unreadable files are collected separately."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vig_pyg._io.cores import num_cores
from vig_pyg._io.faults import reason_of
from vig_pyg.image_io import StoredImage, UnreadableImageError, read_image
from vig_pyg.preprocess import DecodedImage, Preprocessing


@dataclass(frozen=True)
class ImageBatch:
    """A batch of the readable images, and the unreadable ones.

    Args:
        places: Indices of the images in the list of all paths, in order.
        images: The images that could be read, `(B, C, S, S)`; `None` if there are none.
        broken: The index and the reason for each image that could not be read.
    """

    places: list[int]
    images: Tensor | None
    broken: dict[int, str]


class ReadableImages(Dataset[tuple[int, Tensor | str]]):
    """A data set of pairs of an index and an image, or the reason why the image could not be read."""

    def __init__(self, paths: Sequence[str | Path | StoredImage], prepare: Callable[[DecodedImage], Tensor]) -> None:
        self.paths = paths
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[int, Tensor | str]:
        try:
            return i, self.prepare(read_image(self.paths[i]))
        except (UnreadableImageError, FileNotFoundError) as error:
            return i, reason_of(error)


def batches(
    paths: Sequence[str | Path | StoredImage], preprocessing: Preprocessing, *, batch_size: int, num_workers: int
) -> Iterator[ImageBatch]:
    """Yield all images in order, in batches.

    Raises:
        ValueError: If `batch_size` is below 1 or `num_workers` below 0.

    Example:
        >>> found = list(batches(["/nowhere.jpg"], Preprocessing(image_size=8), batch_size=1, num_workers=0))
        >>> found[0].broken
        {0: 'there is no such image'}
    """
    if batch_size < 1 or num_workers < 0:
        raise ValueError(
            f"batch_size must be at least 1 and num_workers at least 0, got {batch_size} and {num_workers}."
        )
    num_workers = min(num_workers, num_cores(), -(-len(paths) // batch_size))
    loader = DataLoader(
        ReadableImages(paths, preprocessing), batch_size, num_workers=num_workers, collate_fn=_collate, shuffle=False
    )
    yield from loader


def _collate(items: list[tuple[int, Tensor | str]]) -> ImageBatch:
    images = {i: item for i, item in items if isinstance(item, Tensor)}
    broken = {i: item for i, item in items if isinstance(item, str)}
    return ImageBatch(list(images), torch.stack(list(images.values())) if images else None, broken)
