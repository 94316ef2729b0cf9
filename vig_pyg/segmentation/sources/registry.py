"""The registry of formats of images with masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from vig_pyg._io.source_text import path_and_part
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._registry import Registry
from vig_pyg.segmentation.records import OnBad, SegmentationDataset

#: A function `(path, part)`; the part is the text after the colon of the source, or `None`.
Reader: TypeAlias = Callable[..., SegmentationDataset]
Recognizes: TypeAlias = Callable[[Path, str | None], bool]


@dataclass(frozen=True)
class Format:
    """A format of images with masks.

    Args:
        form: The form of the text that names a data set in this format, for help texts.
        recognizes: Function `(path, part)` that returns true if the source is a data set in this format. The part is
            the text after the colon of the source, or `None`.
        read: Function `(path, part)` that reads the data set.
        has_objects: If true, masks are made of objects, and `read` also has the option `on_bad` (see `open_source`).

    Example:
        >>> Format(form="FOLDER", recognizes=lambda path, part: True, read=lambda path, part: None).form
        'FOLDER'
    """

    form: str
    recognizes: Recognizes
    read: Reader
    has_objects: bool = False


#: Number of entries of a folder that are looked at for a suggestion.
_MOST = 100


def _must_be_format(value: object) -> None:
    if not isinstance(value, Format):
        raise TypeError(f"A mask format must be a Format, got {value!r}.")


#: All registered formats by name; the first format that recognizes a data set reads it.
FORMATS: Registry[Format] = Registry("mask format", advice="", check=_must_be_format)


def register_format(
    name: str, *, form: str, recognizes: Recognizes, has_objects: bool = False
) -> Callable[[Reader], Reader]:
    """Register a format of images with masks; a decorator for the function that reads a data set.

    Args:
        name: The name, without spaces.
        form: The form of the text that names a data set, for help texts.
        recognizes: Function `(path, part)` that returns true if the source is a data set in this format. The part is
            the text after the colon of the source, or `None`.
        has_objects: If true, masks are made of objects, and the function also has the option `on_bad` (see
            `open_source`).

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        ValueError: If another format is registered under this name.

    Example:
        >>> @register_format("mine", form="FOLDER.mine", recognizes=lambda path, part: path.suffix == ".mine")
        ... def read_mine(path, part):
        ...     raise NotImplementedError
        >>> "mine" in list_formats()
        True
        >>> FORMATS.remove("mine")  # this was an example
    """

    def decorate(read: Reader) -> Reader:
        FORMATS.register(name)(Format(form, recognizes, read, has_objects))
        return read

    return decorate


def list_formats() -> list[str]:
    """List the registered formats.

    Example:
        >>> list_formats()[0]
        'folder'
    """
    return list(FORMATS)


def open_source(source: str | Path, *, classes: list[str] | None = None, on_bad: OnBad = "stop") -> SegmentationDataset:
    """Read images with masks from a source that is given as text.

    Args:
        source: The text, in the form of one of the formats, such as a folder with `images/`, `masks/` and
            `classes.txt`, or `FOLDER:LIST` for Pascal VOC.
        classes: Names of the classes to which the labels are matched by name; by default those of the source.
        on_bad: What happens in formats of objects if an outline cannot be used: `"stop"` raises an error; `"drop"`
            drops the object with a warning, and ignores the pixels of its box instead of counting them as background.
            (`check_masks` has the same option for masks.)

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If no format recognizes the source, or its content is invalid.

    Example:
        >>> open_source("nowhere")
        Traceback (most recent call last):
            ...
        FileNotFoundError: There is no file or folder nowhere.
    """
    path, part, entry = check_source(source)
    read = partial(entry.read, on_bad=on_bad) if entry.has_objects else entry.read
    found = read(path, part)
    return found if classes is None else found.with_classes(classes)


def check_source(source: str | Path) -> tuple[Path, str | None, Format]:
    """Check that a source exists and that a format recognizes it; no image or mask is read.

    Args:
        source: As for `open_source`.

    Returns:
        The file or folder, the part after the colon or `None`, and the format.

    Raises:
        FileNotFoundError: If the file or folder does not exist.
        ValueError: If no format recognizes the source.

    Example:
        >>> check_source("nowhere:train")
        Traceback (most recent call last):
            ...
        FileNotFoundError: There is no file or folder nowhere.
    """
    path, part = path_and_part(source)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.{did_you_mean(path)}")
    for entry in FORMATS.values():
        if entry.recognizes(path, part):
            return path, part, entry
    forms = "; ".join(f"{name}: {entry.form}" for name, entry in FORMATS.items())
    near = [path.parent, path / "train", *sorted(path.iterdir())[:_MOST]] if part is None and path.is_dir() else []
    meant = next((one for one in near if any(entry.recognizes(one, None) for entry in FORMATS.values())), None)
    hint = "" if meant is None else f" Did you mean {meant}?"
    raise ValueError(f"{source} is not a known source of images with masks.{hint} The forms are: {forms}.")
