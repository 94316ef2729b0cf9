"""Where pictures come from: scikit-learn's digits, a folder, a CSV file, CIFAR."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from vig_pyg.preprocess import Preprocessing
from vig_pyg.train.augment import Augmentation
from vig_pyg.train.data import ImageData, read_image

_log = logging.getLogger(__name__)

OnBroken = Literal["stop", "skip"]
Samples = tuple[list[str], list[int]]


class DigitsData(ImageData):
    """Handwritten digits, 1797 scans of 8 x 8 pixels (UCI, embedded in scikit-learn), a quarter held out.

    The split is stratified and always the same; it does not depend on the seed of training.

    Args:
        image_size: Side to which the scans are enlarged.
        batch_size: Images a step.
        num_workers: Processes that load; the set is small, none is best.
        augmentation: Of training images; small moves by default, no flips.

    Example:
        >>> len(DigitsData().val_set)
        450
    """

    def __init__(
        self,
        *,
        image_size: int = 16,
        batch_size: int = 64,
        num_workers: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        scans, labels = load_digits(return_X_y=True)
        pictures = np.round(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        train, val = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=0)
        super().__init__(
            "digits",
            train=(list(pictures[train]), labels[train].tolist()),
            val=(list(pictures[val]), labels[val].tolist()),
            class_names=[str(i) for i in range(10)],
            preprocessing=Preprocessing(image_size=image_size, in_channels=1),
            augmentation=augmentation or Augmentation(affine=True, crop=None, flip=0),
            batch_size=batch_size,
            num_workers=num_workers,
        )


class FolderData(ImageData):
    """A folder with `train/` and `val/`, each with one folder of pictures for each class.

    Args:
        root: The folder. Pictures are what PIL reads, and arrays `(H, W, C)` in `.npy` files.
        image_size: Side of the crops in pixels.
        in_channels: Channels of the images; pictures are converted (see `Preprocessing`).
        crop_pct: Of the preprocessing.
        batch_size: Images a step.
        num_workers: Processes that load.
        augmentation: Of training images; random crops and flips by default.
        on_broken: `"stop"` raises at the first picture that cannot be read, with its name; `"skip"` reads all of them
            before, leaves the broken ones out and logs their names.
        cache: Keep the decoded pictures in memory (see `ImageData`).

    Raises:
        FileNotFoundError: If the folder, `train/` or `val/` does not exist.
        ValueError: If there is no picture, or the classes of `train/` and `val/` differ.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: int = 224,
        in_channels: int = 3,
        crop_pct: float = 1.0,
        batch_size: int = 32,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
        on_broken: OnBroken = "stop",
        cache: int | None = None,
    ) -> None:
        root = Path(root)
        _check_on_broken(on_broken)
        if not root.is_dir():
            raise FileNotFoundError(f"The data folder {root} does not exist.")
        (train_names, train), (val_names, val) = (_image_folder(root / part) for part in ("train", "val"))
        if train_names != val_names:
            differ = sorted(set(train_names) ^ set(val_names))
            raise ValueError(f"{root}/train and {root}/val must have the same classes; only one has {differ}.")
        super().__init__(
            root.resolve().name,
            train=_readable(train, root / "train", on_broken),
            val=_readable(val, root / "val", on_broken),
            class_names=train_names,
            preprocessing=Preprocessing(image_size=image_size, in_channels=in_channels, crop_pct=crop_pct),
            augmentation=augmentation or Augmentation(),
            batch_size=batch_size,
            num_workers=num_workers,
            cache=cache,
        )


class CsvData(ImageData):
    """Pictures listed in a CSV file with the columns `path`, `label` and, if wanted, `split` (`train` or `val`).

    Paths are relative to the file's folder. Without `split` a stratified fifth is held out, always the same.

    Args:
        table: The file.
        image_size: As for `FolderData`, like all that follows.
    """

    def __init__(
        self,
        table: str | Path,
        *,
        image_size: int = 224,
        in_channels: int = 3,
        crop_pct: float = 1.0,
        batch_size: int = 32,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
        on_broken: OnBroken = "stop",
        cache: int | None = None,
    ) -> None:
        table = Path(table)
        _check_on_broken(on_broken)
        names, parts = _split_table(table)
        super().__init__(
            table.stem,
            train=_readable(parts["train"], table, on_broken),
            val=_readable(parts["val"], table, on_broken),
            class_names=names,
            preprocessing=Preprocessing(image_size=image_size, in_channels=in_channels, crop_pct=crop_pct),
            augmentation=augmentation or Augmentation(),
            batch_size=batch_size,
            num_workers=num_workers,
            cache=cache,
        )


class CifarData(ImageData):
    """CIFAR-10 or CIFAR-100 through torchvision: 50,000 pictures of 32 x 32 pixels to train on, 10,000 held out.

    Args:
        classes: 10 or 100.
        root: Folder of the files; they are downloaded (170 MB) where they are not there.
        image_size: Side of the images.
        batch_size: Images a step.
        num_workers: Processes that load.
        augmentation: Of training images.

    Raises:
        ValueError: If `classes` is neither 10 nor 100.
    """

    def __init__(
        self,
        classes: int,
        root: str | Path = "data",
        *,
        image_size: int = 32,
        batch_size: int = 128,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
    ) -> None:
        if classes not in (10, 100):
            raise ValueError(f"There are CIFAR-10 and CIFAR-100, got {classes}.")
        make = CIFAR10 if classes == 10 else CIFAR100
        train, val = (make(str(root), train=part, download=True) for part in (True, False))
        super().__init__(
            f"cifar{classes}",
            train=(list(train.data), list(train.targets)),
            val=(list(val.data), list(val.targets)),
            class_names=list(train.classes),
            preprocessing=Preprocessing(image_size=image_size),
            augmentation=augmentation or Augmentation(),
            batch_size=batch_size,
            num_workers=num_workers,
        )


def _check_on_broken(on_broken: str) -> None:
    if on_broken not in ("stop", "skip"):
        raise ValueError(f"on_broken must be 'stop' or 'skip', got {on_broken!r}.")


def _image_folder(folder: Path) -> tuple[list[str], Samples]:
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected {folder} with one folder of pictures for each class; it does not exist.")
    try:
        names, index = find_classes(str(folder))
        samples = make_dataset(str(folder), index, extensions=(*IMG_EXTENSIONS, ".npy"))
    except FileNotFoundError as error:
        raise ValueError(f"{folder} needs one folder of pictures for each class: {error}.") from error
    return names, ([path for path, _ in samples], [label for _, label in samples])


def _read_table(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        raise FileNotFoundError(f"The table {table} does not exist.")
    with table.open(newline="") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or [])
        if not {"path", "label"} <= columns <= {"path", "label", "split"}:
            raise ValueError(f"{table} needs the columns path, label and perhaps split, got {sorted(columns)}.")
        rows = list(reader)
    if not rows or any(None in row.values() or None in row for row in rows):
        raise ValueError(f"{table} has no rows, or a row with more or fewer cells than columns.")
    return rows


def _split_table(table: Path) -> tuple[list[str], dict[str, Samples]]:
    """Class names, numbers in their order, and the samples of `train` and `val`."""
    rows = _read_table(table)
    labels = [row["label"] for row in rows]
    names = sorted(set(labels), key=int if all(label.isdigit() for label in labels) else str)
    if "split" in rows[0]:
        splits = [row["split"] for row in rows]
        if set(splits) != {"train", "val"}:
            raise ValueError(f"The column split of {table} must say train and val, got {sorted(set(splits))}.")
    else:
        held = set(train_test_split(range(len(rows)), test_size=0.2, stratify=labels, random_state=0)[1])
        splits = ["val" if i in held else "train" for i in range(len(rows))]
    parts: dict[str, Samples] = {"train": ([], []), "val": ([], [])}
    for row, label, split in zip(rows, labels, splits, strict=True):
        parts[split][0].append(str(table.parent / row["path"]))
        parts[split][1].append(names.index(label))
    return names, parts


def _readable(samples: Samples, where: Path, on_broken: OnBroken) -> Samples:
    kept = [(path, label) for path, label in zip(*samples, strict=True) if on_broken == "stop" or _check(path)]
    if not kept:
        raise ValueError(f"{where} has no readable picture.")
    return [path for path, _ in kept], [label for _, label in kept]


def _check(path: str) -> bool:
    try:
        read_image(path)
    except (ValueError, FileNotFoundError) as error:
        _log.warning("Left out: %s", error)
        return False
    return True
