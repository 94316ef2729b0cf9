"""Folders of labeled images: one folder for each class."""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vig_pyg._io.text import terminal_text
from vig_pyg.image_io import folders_in
from vig_pyg.image_io._class_folders import class_folders, composed, some

_log = logging.getLogger(__name__)

WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class LabeledImages:
    """Images and the number of each one's class.

    Args:
        paths: The files.
        labels: Class of each file, as the number of a class of the model.
    """

    paths: list[Path]
    labels: list[int]


def find_labeled(root: str | Path, class_names: list[str]) -> LabeledImages:
    """Find the images of a folder with one folder for each class.

    The folders are named as the classes of the model, or, for ImageNet's 1000, by WordNet's numbers (`n01440764`).
    A part of the classes is enough; the model still chooses among all of its own.

    Args:
        root: The folder.
        class_names: Names of the model's classes.

    Raises:
        FileNotFoundError: If the folder does not exist.
        NotADirectoryError: If it is a file.
        ValueError: If it has no folders of images, or the name of one is no class of the model.
        ImportError: If WordNet's numbers are needed and timm, which knows their order, is not installed.
    """
    root = Path(root)
    if root.is_file():
        raise NotADirectoryError(f"{root} is a file, expected a folder with one folder of images for each class.")
    if not root.is_dir():
        raise FileNotFoundError(f"The folder {root} does not exist.")
    found = class_folders(root)
    try:
        classes = class_numbers(list(found), class_names)
    except ValueError as error:
        inner = [name for name in found if folders_in(root / name)]
        hint = f" The folders in {root / inner[0]} may be the classes: name that." if len(inner) == len(found) else ""
        raise ValueError(f"{error}{hint}") from error
    empty = [name for name, images in found.items() if not images]
    if len(empty) == len(found):
        raise ValueError(
            f"The folder {root / empty[0]} has no images: {root} needs one folder of images for each class."
        )
    if empty:
        _log.warning("%d folders of %s have no images: %s.", len(empty), terminal_text(root), some(empty))
    paths = [Path(path) for images in found.values() for path in images]
    return LabeledImages(paths, [classes[name] for name, images in found.items() for _ in images])


def class_numbers(folders: list[str], class_names: list[str]) -> dict[str, int]:
    """Return the class of each folder by its name.

    Raises:
        ValueError: If a name is no class, or of two.
    """
    counts = Counter(map(composed, class_names))
    known = {composed(name): i for i, name in enumerate(class_names)}
    wordnet = [name for name in folders if name not in known and WORDNET.fullmatch(name)]
    if wordnet and len(class_names) == 1000:
        known |= {name: i for i, name in enumerate(synsets()) if name not in known}
    elif wordnet and len(wordnet) == len(folders):
        raise ValueError(
            f"The folders have WordNet's numbers ({folders[0]}, ...), but the model has {len(class_names)} classes "
            "and not ImageNet's 1000."
        )
    twice = [name for name in folders if counts[name] > 1]
    if twice:
        raise ValueError(f"Two classes are called {twice[0]!r}: name the folders by WordNet's numbers.")
    wrong = [name for name in folders if name not in known]
    if wrong:
        folded = {name.casefold().replace("_", " "): name for name in known}
        meant = folded.get(wrong[0].casefold().replace("_", " "))
        hint = f" (did you mean {some([meant])}?)" if meant else ""
        raise ValueError(
            f"{len(wrong)} of {len(folders)} folders are no classes of the model: {some(wrong)}{hint}; its classes "
            f"are {some(class_names)}, ..."
        )
    return {name: known[name] for name in folders}


def synsets() -> list[str]:
    """Return WordNet's numbers of ImageNet's 1000 classes, in their usual order (timm's list)."""
    try:
        from timm.data.imagenet_info import ImageNetInfo
    except ImportError as error:
        raise ImportError(
            'Folders named by WordNet\'s numbers need timm, which knows their order: pip install "vig-pyg[imagenet]".'
        ) from error
    names: list[str] = ImageNetInfo().label_names()
    return names
