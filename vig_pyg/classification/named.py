"""Labeled images of built-in data, of the user's own sources, and of tables, for evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vig_pyg._requirements import TRAIN, require
from vig_pyg.classification.folders import part_folders, part_of
from vig_pyg.classification.labels import LabeledImages, class_numbers
from vig_pyg.classification.readers.registry import PixelImage
from vig_pyg.classification.readers.streams import readable_prefixes
from vig_pyg.classification.splits import Samples
from vig_pyg.classification.tables import read_part
from vig_pyg.image_io._class_folders import some

#: Names of the data of this library, which need the packages for training.
BUILT_IN = ("digits", "cifar10", "cifar100")


def is_table(data: str) -> bool:
    """True if a name of data stands for a table of images rather than a folder.

    Example:
        >>> is_table("pets.csv"), is_table("pets")
        (True, False)
    """
    path = Path(data)
    return not path.is_dir() and path.suffix.lower() in (".csv", ".tsv")


def source_names() -> list[str]:
    """Return the names of registered data, such as `digits`; without the packages for training, those of this library.

    Example:
        >>> source_names()[:2]
        ['digits', 'cifar10']
    """
    try:
        require("Built-in data", TRAIN, "train")
    except ImportError:
        return list(BUILT_IN)
    from vig_pyg.classification.sources import list_sources

    return list_sources()


def of_readers_only(option: str, value: object, data: str) -> str:
    """Return the message about an option of data with a prefix, such as the name of a part, that other data has not.

    Example:
        >>> of_readers_only("--input-key", "jpg", "digits")
        '--input-key applies only to data with the prefix hfds/, wds/ or torch/, got jpg for digits: leave it out.'
    """
    told = f"{option} applies only to data with the prefix {readable_prefixes()}, got {value} for"
    root = Path(data)
    if not root.is_dir():
        return f"{told} {data}: leave it out."
    parts = part_folders(root)
    if not parts:
        return f"{told} the folder {data}, which has no parts such as train/ and val/: leave it out."
    meant = next((folder for folder in parts if folder.name == value), None)
    meant = meant or next((folder for folder in parts if part_of(folder.name) == "val"), parts[0])
    shown = some(f"{folder.name}/" for folder in parts)
    return f"{told} the folder {data}, whose parts are the folders {shown}: leave it out, and pass {meant} for a part."


def find_labeled_of(
    data: str,
    class_names: list[str],
    *,
    in_channels: int = 3,
    split: str | None = None,
    root: str | None = None,
    whole: bool = False,
) -> LabeledImages:
    """Find the images of registered data or of a table, and their classes among the classes of a model.

    Args:
        data: A name of `list_sources()`, or the path of a table as for training.
        in_channels: Number of channels of the model, for data without a fixed number.
        split: `"train"` for the training part, or `"test"` for that of a table; by default the part for validation, or
            that for tests if a table has no other.
        root: Folder of the files of data that is downloaded, by default `data`.
        whole: If true, a table that is not divided is returned as a whole by default, because no model was trained on a
            part of it.

    Raises:
        FileNotFoundError: If the table does not exist.
        ValueError: If there is no such data or part, or a class is not one of the model.
        ImportError: If registered data is named, and the packages for training are missing.

    Example:
        >>> len(find_labeled_of("digits", [str(i) for i in range(10)]).labels)
        450
    """
    if is_table(data):
        names, (sources, labels) = read_part(Path(data), split, whole=whole)
    else:
        wanted = "val" if split is None else part_of(split)
        if wanted not in ("train", "val"):
            raise ValueError(f"{data} has no part {split!r}; it has 'train' and 'val'.")
        names, (sources, labels) = _of_source(data, wanted, in_channels, root)
        if not labels:
            raise ValueError(f"{data} has no images in its part {wanted}; its classes are {some(names)}.")
    present = [names[label] for label in sorted(set(labels))]
    numbers = class_numbers(present, class_names, what="classes of the data")
    return LabeledImages(list(sources), [numbers[names[label]] for label in labels])


def _of_source(name: str, part: str, in_channels: int, root: str | None) -> tuple[list[str], Samples]:
    """Return the class names, the images and the labels of registered data."""
    require(f"Data named {name}", TRAIN, "train")
    from vig_pyg.classification.config import ClassificationConfig
    from vig_pyg.classification.sources import SOURCES
    from vig_pyg.classification.sources.registry import fixed_channels, make_source

    SOURCES.resolve(name)  # an unknown name is an error
    config = ClassificationConfig(
        data=name,
        in_channels=fixed_channels(name) or in_channels,
        root=root or ClassificationConfig.root,
        on_bad="drop",
        num_workers=0,
    )
    data = make_source(name, vars(config))
    images = data.train_set if part == "train" else data.val_set
    sources = [
        PixelImage(one, f"{name}: {part} {i}") if isinstance(one, np.ndarray) else one
        for i, one in enumerate(images.sources)
    ]
    return data.class_names, (sources, list(images.labels))
