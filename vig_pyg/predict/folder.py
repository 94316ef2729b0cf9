"""Folders of labelled pictures: one folder for each class."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vig_pyg.predict.pictures import find_pictures

WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures and the number of each one's class.

    Args:
        paths: The files.
        labels: Their classes, as numbers of the model's classes.
    """

    paths: list[Path]
    labels: list[int]


def find_labelled(root: str | Path, class_names: list[str]) -> LabelledPictures:
    """The pictures of a folder with one folder for each class.

    The folders are named as the classes of the model, or, for ImageNet's 1000, by WordNet's numbers (`n01440764`).
    A part of the classes is enough; the model still chooses among all of its own.

    Args:
        root: The folder.
        class_names: Names of the model's classes.

    Raises:
        FileNotFoundError: If the folder does not exist.
        NotADirectoryError: If it is a file.
        ValueError: If it has no folders of pictures, or the name of one is no class of the model.
        ImportError: If WordNet's numbers are needed and timm, which knows their order, is not installed.
    """
    root = Path(root)
    if root.is_file():
        raise NotADirectoryError(f"{root} is a file, expected a folder with one folder of pictures for each class.")
    if not root.is_dir():
        raise FileNotFoundError(f"The folder {root} does not exist.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise ValueError(f"{root} needs one folder of pictures for each class.")
    classes = class_numbers([folder.name for folder in folders], class_names)
    paths: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        found = find_pictures([folder])
        paths += found
        labels += [classes[folder.name]] * len(found)
    return LabelledPictures(paths, labels)


def class_numbers(folders: list[str], class_names: list[str]) -> dict[str, int]:
    """The class of each folder by its name.

    Raises:
        ValueError: If a name is no class, or of two.
    """
    if all(WORDNET.fullmatch(name) for name in folders) and not set(folders) <= set(class_names):
        if len(class_names) != 1000:
            raise ValueError(
                f"The folders have WordNet's numbers ({folders[0]}, ...), but the model has {len(class_names)} classes "
                "and not ImageNet's 1000."
            )
        known = {name: i for i, name in enumerate(synsets())}
    else:
        counts = Counter(class_names)
        twice = [name for name in folders if counts[name] > 1]
        if twice:
            raise ValueError(f"Two classes are called {twice[0]!r}: name the folders by WordNet's numbers.")
        known = {name: i for i, name in enumerate(class_names)}
    wrong = [name for name in folders if name not in known]
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(folders)} folders are no classes of the model: {', '.join(wrong[:4])}; its classes "
            f"are {', '.join(class_names[:4])}, ..."
        )
    return {name: known[name] for name in folders}


def synsets() -> list[str]:
    """WordNet's numbers of ImageNet's 1000 classes, in their usual order (timm's list)."""
    try:
        from timm.data.imagenet_info import ImageNetInfo
    except ImportError as error:
        raise ImportError(
            'Folders named by WordNet\'s numbers need timm, which knows their order: pip install "vig-pyg[imagenet]".'
        ) from error
    names: list[str] = ImageNetInfo().label_names()
    return names
