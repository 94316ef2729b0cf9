"""The registry of readers, and what a reader returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from vig_pyg._io.faults import first_ten, list_faults
from vig_pyg._io.numbers import are
from vig_pyg._io.text import terminal_text
from vig_pyg._registry import Registry
from vig_pyg.classification.folders import part_of
from vig_pyg.image_io import StoredImage
from vig_pyg.image_io._class_folders import some

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The images of one part of a data set, such as its training images.

    Args:
        images: The images: files, or images that are stored in other files.
        labels: The class of each image: an index, or a name. All are of the same type.
        left_out: Number of samples that were not as expected and are omitted.

    Example:
        >>> Part(["1.png", "2.png"], labels=[0, 1]).labels
        [0, 1]
    """

    images: list[str | StoredImage]
    labels: list[int] | list[str]
    left_out: int = 0


@dataclass(frozen=True)
class Collection:
    """A data set whose parts are read when they are needed.

    Args:
        title: Name of the data.
        class_names: One name for each index in the labels; `None` if the data contains no list of classes.
        parts: Functions that read one part each, by the names of the parts in the data. The name `""` means data
            without parts.

    Example:
        >>> flat = Collection("pets", ["cat", "dog"], {"": lambda: Part(["1.png", "2.png"], [0, 1])})
        >>> flat.parts[""]().labels
        [0, 1]
    """

    title: str
    class_names: list[str] | None
    parts: Mapping[str, Callable[[], Part]]

    def choose(self, part: Literal["train", "val"], name: str | None = None) -> str | None:
        """Return the name of the part that is used for training or for validation, or `None` if there is none.

        Args:
            part: The purpose of the images.
            name: The name of the part, if the user has given a name.

        Raises:
            ValueError: If there is no part with this name, or several parts have this purpose.
        """
        there = some(repr(one) for one in self.parts)
        if name is not None:
            if name not in self.parts:
                raise ValueError(f"{self.title} has no part {name!r}; it has {there}.")
            return name
        found = [one for one in self.parts if part_of(one) == part]
        if part == "val" and not found:
            found = [one for one in self.parts if part_of(one) == "test"]
            if found:
                _log.warning("%s has no validation images: %s is used instead.", terminal_text(self.title), some(found))
        exact = [one for one in found if one == part] or found
        if len(exact) > 1:
            raise ValueError(f"{self.title} has several parts for {part}, {some(exact)}: name the one to use.")
        return exact[0] if exact else None


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """Options for reading a data set, with timm's names.

    Args:
        root: Folder of torchvision's files.
        input_key: File extension or column of the images, if a sample or row has several.
        target_key: File extension, JSON key or column of the labels.
        splits: Parts that the user has named. A reader may also accept other texts, such as patterns of files.
        on_bad: `"stop"` raises an error at the first sample that is not as expected; `"drop"` logs and omits it.
        download: If false, data that is not on this computer raises an error.

    Example:
        >>> ReaderOptions(input_key="jpg").on_bad
        'stop'
    """

    root: str = "data"
    input_key: str | None = None
    target_key: str | None = None
    splits: tuple[str, ...] = ()
    on_bad: Literal["stop", "drop"] = "stop"
    download: bool = True


Reader: TypeAlias = Callable[[str, ReaderOptions], Collection]

#: All readers by their prefixes.
READERS: Registry[Reader] = Registry("reader", advice=", followed by / and the name of the data")


def register_reader(prefix: str) -> Callable[[Reader], Reader]:
    """Register a reader; a decorator for a function `(name, options)` that returns a `Collection`.

    Args:
        prefix: The prefix without the slash.

    Raises:
        ValueError: If another reader is registered for this prefix.

    Example:
        >>> @register_reader("stripes")
        ... def read_stripes(name, options):
        ...     return Collection(name, ["rows", "columns"], {"train": lambda: Part([], [])})
        >>> open_collection("stripes/few", ReaderOptions()).title
        'few'
        >>> READERS.remove("stripes")  # this was an example
    """
    return READERS.register(prefix)


def list_readers() -> list[str]:
    """List the prefixes of all readers.

    Example:
        >>> import vig_pyg.classification.readers  # registers them
        >>> [prefix for prefix in list_readers() if prefix in ("wds", "hfds", "torch")]
        ['hfds', 'wds', 'torch']
    """
    return READERS.names()


def reader_prefix(data: str) -> str | None:
    """Return the prefix of a data name, or `None`; as in timm, the prefix may have any letter case.

    Args:
        data: The name.

    Example:
        >>> import vig_pyg.classification.readers  # registers them
        >>> reader_prefix("wds/shards"), reader_prefix("./wds/shards"), reader_prefix("images/wds")
        ('wds', None, None)
    """
    prefix, slash, name = data.partition("/")
    return prefix.lower() if slash and name and prefix.lower() in READERS else None


def open_collection(data: str, options: ReaderOptions) -> Collection:
    """Open a data set from its name with a prefix; the images are not read yet.

    Args:
        data: The name with its prefix, such as `"wds/shards"`.
        options: Options for reading the data.

    Raises:
        ValueError: If the prefix is unknown, or the data is not as expected.
        OSError: If the data does not exist or cannot be downloaded.
        ImportError: If a package is missing.

    Example:
        >>> import vig_pyg.classification.readers  # registers them
        >>> open_collection("wds/nowhere", ReaderOptions())
        Traceback (most recent call last):
        FileNotFoundError: There is no folder with shards at nowhere.
    """
    prefix, _, name = data.partition("/")
    read = READERS.resolve(prefix.lower())
    try:
        return read(name, options)
    except (ValueError, FileNotFoundError) as error:
        if not Path(data).exists():
            raise
        raise type(error)(f"{error} To read the folder {data}, write ./{data}.") from error


class Faults:
    """Samples that are not as expected; all are counted, and the first ones are named.

    Args:
        on_bad: `"stop"` raises an error at the end; `"drop"` logs a warning.

    Example:
        >>> faults = Faults("stop", "shards")
        >>> faults.add("shards/1.tar: 0001 has no label")
        >>> faults.end(5)
        Traceback (most recent call last):
        ValueError: shards/1.tar: 0001 has no label; remove it, or use on_bad='drop' (--on-bad drop).
    """

    def __init__(self, on_bad: str, where: str) -> None:
        self.on_bad, self.where = on_bad, where
        self._found: list[str] = []

    @property
    def count(self) -> int:
        """Number of faults."""
        return len(self._found)

    def add(self, what: str) -> None:
        """Add a fault."""
        self._found.append(what)

    def end(self, total: int) -> None:
        """Raise an error, or log a warning, if there are faults."""
        if not self._found:
            return
        total += self.count
        if self.on_bad == "stop":
            advice = f"; remove {'it' if self.count == 1 else 'them'}, or use on_bad='drop' (--on-bad drop)"
            raise ValueError(list_faults(self._found, total, what="samples", advice=advice))
        _log.warning(
            "%s: %d of %d samples %s left out:%s",
            terminal_text(self.where), self.count, total, are(self.count), first_ten(self._found),
        )  # fmt: skip


class PixelImage(StoredImage):
    """An image that is stored in memory as an array of pixels.

    Example:
        >>> str(PixelImage(np.zeros((4, 4), np.uint8), "digit 3"))
        'digit 3'
    """

    __slots__ = ("name", "pixels")

    def __init__(self, pixels: np.ndarray, name: str) -> None:
        self.pixels, self.name = pixels, name

    def content(self) -> np.ndarray:
        return self.pixels

    def __str__(self) -> str:
        return self.name
