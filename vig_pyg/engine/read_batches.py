"""Batches of images for an evaluation; an error names the file, also if another process has read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, Dataset

from vig_pyg._io.cores import num_cores


def read_batches(
    images: Dataset[Any],
    batch_size: int,
    *,
    collate: Callable[[list[Any]], Any],
    num_workers: int = 0,
    order: Iterable[int] | None = None,
) -> Iterator[Any]:
    """Yield the batches of a data set. Errors are the same with and without reading processes.

    An error in a process of torch's `DataLoader` has a traceback in its message, in which the reason is hard to find.

    Example:
        >>> list(read_batches([5, 6, 7], 2, collate=sum))
        [11, 7]
    """
    loader: DataLoader[Any] = DataLoader(
        _Readable(images),
        batch_size,
        sampler=order,
        num_workers=min(num_workers, num_cores()),
        collate_fn=partial(_collate, collate),
    )
    for batch in loader:
        if isinstance(batch, Exception):
            raise batch
        yield batch


class _Readable(Dataset[Any]):
    """A data set of the items of another one, or the errors that reading them raises."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        try:
            return self.images[i]
        except (ValueError, OSError) as error:
            return error


def _collate(collate: Callable[[list[Any]], Any], items: list[Any]) -> Any:
    """Return the batch, or the first error."""
    error = next((item for item in items if isinstance(item, Exception)), None)
    return collate(items) if error is None else error
