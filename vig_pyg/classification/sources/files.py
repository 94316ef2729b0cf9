"""Images from files: a folder, or a CSV file that lists them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from vig_pyg._io.faults import fault_of, first_ten
from vig_pyg._io.numbers import are
from vig_pyg._io.text import terminal_text
from vig_pyg.classification.config import Augmentation
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.folders import read_folders
from vig_pyg.classification.splits import Source, Split, check_split, chosen, without_classes
from vig_pyg.classification.tables import read_table
from vig_pyg.image_io import IMAGE_EXTENSIONS, UnreadableImageError, is_passed_over, read_image
from vig_pyg.image_io._class_folders import some
from vig_pyg.preprocess import Preprocessing

_log = logging.getLogger(__name__)

OnBad = Literal["stop", "drop"]
#: Number of images that are read at most beside another fault, which takes seconds.
_MOST_READ = 2_000


class _FileData(ImageData):
    """Images from files; a subclass defines how the path is read."""

    def __init__(
        self,
        path: str | Path,
        *,
        image_size: int = 224,
        in_channels: int = 3,
        crop_pct: float = 1.0,
        batch_size: int = 32,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
        on_bad: OnBad = "stop",
        cache: int | None = None,
    ) -> None:
        if on_bad not in ("stop", "drop"):
            raise ValueError(f"on_bad must be 'stop' or 'drop', got {on_bad!r}.")
        if not str(path):  # Path("") would be the current folder
            raise ValueError("The path of the data is empty (''): name a folder or a table, or . for this folder.")
        path = Path(path)
        preprocessing = Preprocessing(image_size=image_size, in_channels=in_channels, crop_pct=crop_pct)
        title, split = self._read(path, on_bad)
        split = readable(split, preprocessing, path, on_bad)
        super().__init__(
            title,
            train=split.train,
            val=split.val,
            class_names=split.class_names,
            preprocessing=preprocessing,
            augmentation=augmentation or Augmentation(),
            batch_size=batch_size,
            num_workers=num_workers,
            cache=cache,
        )
        self.left_out = split.left_out

    def _read(self, path: Path, on_bad: OnBad) -> tuple[str, Split]:
        """Return the name of the data, and its images."""
        raise NotImplementedError


class FolderData(_FileData):
    """Images from a folder with one folder per class, or with `train/` and `val/`, which contain the class folders.

    `read_folders` describes how names such as `validation/`, undivided folders, hidden files and links are handled.

    Args:
        path: The folder. Images are files that `read_image` supports: `IMAGE_FORMATS`, or arrays `(H, W, C)` (`.npy`).
        image_size: Side length of the crops in pixels.
        in_channels: Number of channels; image files are converted (see `Preprocessing`).
        crop_pct: Side length of the crop divided by the resized short side (see `Preprocessing`).
        batch_size: Number of images in a step.
        num_workers: Number of data loading processes.
        augmentation: Random changes of the training images; by default random crops and flips.
        on_bad: `"stop"` raises an error if an image cannot be read or a class folder is empty. `"drop"` reads all
            images in advance, leaves out the unreadable ones and the classes without images, and logs their names.
        cache: Keep the decoded images in memory (see `ImageData`).

    Raises:
        FileNotFoundError: If the folder does not exist, or only one of `train/` and `val/` exists.
        ValueError: If there is no image, a class in `train/` has none, or `val/` contains an additional class.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        ...         (Path(root) / name).mkdir(parents=True)
        ...         Image.new("RGB", (8, 8), hash(name) % 256).save(Path(root) / name / "1.png")
        ...     FolderData(root, image_size=8).class_names
        ['cat', 'dog']
    """

    def _read(self, path: Path, on_bad: OnBad) -> tuple[str, Split]:
        try:
            return path.resolve().name, read_folders(path, empty=on_bad)
        except (OSError, ValueError) as error:
            broken = _broken_in(path) if on_bad == "stop" else []
            if not broken:
                raise
            first, *items = str(error).split("\n  ")  # several faults are a list
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
            raise kind(f"The images of {path} cannot be used:{first_ten([*(items or [first]), *broken])}") from error


class CsvData(_FileData):
    r"""Images listed in a CSV file with the columns `path`, `label` and optionally `split` (`train` or `val`).

    Paths are relative to the folder of the file. Without `split`, a stratified fifth is used for validation; the split
    is always the same. `read_table` describes the supported variants of CSV.

    Args:
        path: The file.
        image_size: Side length of the crops in pixels.
        in_channels: Number of channels; image files are converted (see `Preprocessing`).
        crop_pct: Side length of the crop divided by the resized short side (see `Preprocessing`).
        batch_size: Number of images in a step.
        num_workers: Number of data loading processes.
        augmentation: Random changes of the training images; by default random crops and flips.
        on_bad: `"stop"` raises an error if an image cannot be read; `"drop"` omits such images with a warning.
        cache: Keep the decoded images in memory (see `ImageData`).

    Raises:
        FileNotFoundError: If the file, or an image of it, does not exist.
        ValueError: If a column is missing, or a class has no training images.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for i in range(4):
        ...         Image.new("RGB", (8, 8), i).save(f"{root}/{i}.png")
        ...     table = Path(root) / "table.csv"
        ...     _ = table.write_text("path,label\n0.png,cat\n1.png,cat\n2.png,dog\n3.png,dog\n")
        ...     CsvData(table, image_size=8).class_names
        ['cat', 'dog']
    """

    def _read(self, path: Path, on_bad: OnBad) -> tuple[str, Split]:
        return path.stem, read_table(path, missing=on_bad)


def _broken_in(path: Path) -> list[str]:
    """Return the images of a folder that cannot be read, each with the reason, of the first `_MOST_READ`.

    A folder whose division is wrong has been touched by hand: its other faults are told at once.
    """
    if not path.is_dir():
        return []
    inside = (one for one in sorted(path.rglob("*")) if one.suffix.lower() in IMAGE_EXTENSIONS)
    images = [one for one in inside if not any(map(is_passed_over, one.relative_to(path).parts))]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda image: _fault(str(image), None), images[:_MOST_READ])
    return [fault for fault in found if fault]


def readable(split: Split, preprocessing: Preprocessing, where: Path | str, on_bad: OnBad) -> Split:
    """Return the images without the unreadable ones (if `on_bad` is `"drop"`), and log probable mistakes.

    A class that loses all its training images is left out with its validation images, because nothing could be learned
    about it.

    Args:
        on_bad: `"stop"` returns all images, `"drop"` only those that can be read.

    Raises:
        ValueError: If no training or no validation image is readable, or classes are left out and only one class, or no
            validation image, remains.
    """
    if on_bad == "drop":
        split = _without_unreadable(split, preprocessing, where)
    check_split(split, where)
    return split


def _without_unreadable(split: Split, preprocessing: Preprocessing, where: Path | str) -> Split:
    parts, faults = [], list[str]()
    for paths, labels in (split.train, split.val):
        with ThreadPoolExecutor() as pool:  # PIL releases the interpreter's lock while it decodes
            found = list(pool.map(lambda path: _fault(path, preprocessing), paths))
        faults += filter(None, found)
        parts.append(chosen(paths, labels, [not fault for fault in found]))
    if not faults:
        return split
    total = len(split.train[1]) + len(split.val[1])
    _log.warning(
        "%s: %d of %d images %s left out:%s",
        terminal_text(where), len(faults), total, are(len(faults)), first_ten(faults),
    )  # fmt: skip
    for (paths, _), kind in zip(parts, ("training", "validation"), strict=True):
        if not paths:
            raise ValueError(f"{where} has no readable {kind} image:{first_ten(faults)}")
    lost = sorted(set(split.train[1]) - set(parts[0][1]))
    if not lost:
        return Split(split.class_names, *parts, left_out=faults)
    left = without_classes(Split(split.class_names, *parts, left_out=faults), lost)
    _check_left(left, where, faults)
    _log.warning(
        "%s has no readable training image of %s: %s left out.",
        terminal_text(where), some(split.class_names[i] for i in lost),
        "the class is" if len(lost) == 1 else f"these {len(lost)} classes are",
    )  # fmt: skip
    return left


def _check_left(left: Split, where: Path | str, faults: Sequence[str]) -> None:
    """Raise an error if nothing can be learned or evaluated without the classes that are left out."""
    names = some(left.class_names)
    if len(left.class_names) == 1:
        what = f"only one class, {names}; at least two are needed"
    elif not left.val[0]:
        what = f"{names}, but no readable validation image of {'either' if len(left.class_names) == 2 else 'any'}"
    else:
        return
    raise ValueError(f"{where} has readable training images of {what}:{first_ten(faults)}")


def _fault(path: Source, preprocessing: Preprocessing | None) -> str:
    """Return why an image cannot be read, with its name; `""` if it can be read."""
    try:
        image = read_image(path)
        if preprocessing is not None:
            preprocessing.convert(image)
    except (UnreadableImageError, FileNotFoundError) as error:
        return fault_of(Path(path) if isinstance(path, str) else path, error)
    return ""
