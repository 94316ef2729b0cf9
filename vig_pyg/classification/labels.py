"""Folders of labeled images: one folder for each class."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from vig_pyg._io.numbers import counted
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text
from vig_pyg._requirements import missing_message
from vig_pyg.image_io import StoredImage, folders_in
from vig_pyg.image_io._class_folders import class_folders, composed, some

_log = logging.getLogger(__name__)

WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class LabeledImages:
    """Images with their class indices.

    Args:
        paths: The files, or images that are stored in other files.
        labels: For each file, the index of its class among the classes of the model.
        left_out: Number of samples of the data that are omitted, because they are not images with a label.

    Example:
        >>> LabeledImages([Path("cat/1.jpg"), Path("dog/1.jpg")], labels=[0, 1]).labels
        [0, 1]
    """

    paths: Sequence[str | Path | StoredImage]
    labels: list[int]
    left_out: int = 0


def check_labeled(root: str | Path, *, names: Collection[str] = ()) -> Path:
    """Check that a folder of labeled images exists, and return its path; no file in it is read.

    Args:
        names: Other names that the user may have meant.
    """
    if not str(root):  # Path("") would be the current folder
        raise ValueError("The path of the data is empty (''): name a folder, or . for this folder.")
    root = Path(root)
    if root.is_file():
        raise NotADirectoryError(f"{root} is a file, expected a folder with one folder of images for each class.")
    if not root.is_dir():
        raise FileNotFoundError(f"The folder {root} does not exist.{did_you_mean(root, names=names)}")
    return root


def find_labeled(root: str | Path, class_names: list[str]) -> LabeledImages:
    """Find the images of a folder with one folder for each class.

    The folders have the names of the model's classes or, for the 1000 classes of ImageNet, WordNet IDs (`n01440764`).
    The folder may contain only some of the classes; the predictions are still not limited to these.

    Args:
        root: The folder.
        class_names: Names of the model's classes.

    Raises:
        FileNotFoundError: If the folder does not exist.
        NotADirectoryError: If `root` is a file.
        ValueError: If `root` has no folders of images, or a folder name is not a class of the model.
        ImportError: If WordNet IDs are used and timm, which provides their order, is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "dog").mkdir()
        ...     (Path(folder) / "dog" / "1.jpg").touch()
        ...     find_labeled(folder, ["cat", "dog"]).labels
        [1]
    """
    root = check_labeled(root)
    found = class_folders(root)
    empty = [name for name, images in found.items() if not images]
    try:
        classes = _numbers(found, class_names)
    except ValueError as error:
        inner = [name for name in found if folders_in(root / name)]
        part = next(
            (name for name in ("val", "valid", "validation", "test") if name in inner), inner[0] if inner else ""
        )
        hint = f" The folders in {root / part} may be the classes: pass it." if len(inner) == len(found) else ""
        raise ValueError(f"{error}{hint}") from error
    if len(empty) == len(found):
        raise ValueError(
            f"The folder {root / empty[0]} has no images: {root} needs one folder of images for each class."
        )
    if empty:
        _log.warning("%s of %s %s no images: %s.", counted(len(empty), "folders"), terminal_text(root),
                     "has" if len(empty) == 1 else "have", some(empty))  # fmt: skip
    paths = [Path(path) for images in found.values() for path in images]
    return LabeledImages(paths, [classes[name] for name, images in found.items() for _ in images])


def _numbers(found: dict[str, list[str]], class_names: list[str]) -> dict[str, int]:
    """Return the class index of each folder; an empty one needs no class, because `on_bad: drop` leaves it out."""
    try:
        return class_numbers([name for name, images in found.items() if images], class_names)
    except ValueError:
        return class_numbers(list(found), class_names)  # an error that counts all folders


def class_numbers(folders: list[str], class_names: list[str], *, what: str = "folders") -> dict[str, int]:
    """Return the class index of each folder name, or of other names, which `what` calls by their kind.

    Raises:
        ValueError: If a name is not a class, or two classes have this name.

    Example:
        >>> class_numbers(["dog"], ["cat", "dog"])
        {'dog': 1}
    """
    counts = Counter(map(composed, class_names))
    known = {composed(name): i for i, name in enumerate(class_names)}
    wordnet = [name for name in folders if name not in known and WORDNET.fullmatch(name)]
    if wordnet and len(class_names) == 1000:
        known |= {name: i for i, name in enumerate(synsets()) if name not in known}
    elif wordnet and len(wordnet) == len(folders):
        raise ValueError(
            f"The {what} have WordNet IDs ({some(folders, most=1)}), but the model has {len(class_names)} classes "
            "instead of the 1000 classes of ImageNet."
        )
    twice = [name for name in folders if counts[name] > 1]
    if twice:
        raise ValueError(f"Two classes are called {twice[0]!r}: name the {what} by their WordNet IDs.")
    wrong = [name for name in folders if name not in known]
    if wrong:
        folded = {name.casefold().replace("_", " "): name for name in known}
        meant = folded.get(wrong[0].casefold().replace("_", " "))
        hint = f" (did you mean {some([meant])}?)" if meant else ""
        be = "is not a class" if len(wrong) == 1 else "are not classes"
        raise ValueError(
            f"{len(wrong)} of {len(folders)} {what} {be} of the model: {some(wrong)}{hint}. The classes "
            f"of the model are {some(class_names)}."
        )
    return {name: known[name] for name in folders}


def synsets() -> list[str]:
    """Return the WordNet IDs of the 1000 classes of ImageNet in their usual order, from timm.

    Raises:
        ImportError: If timm is not installed.

    Example:
        >>> len(synsets())
        1000
    """
    try:
        from timm.data.imagenet_info import ImageNetInfo
    except ImportError as error:
        problem = "Folders named by WordNet IDs need timm, which provides their order"
        raise ImportError(missing_message(problem, "imagenet")) from error
    names: list[str] = ImageNetInfo().label_names()
    return names
