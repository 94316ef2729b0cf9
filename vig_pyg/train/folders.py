"""Folders of images as people have them: one folder for each class, divided into training and validation or not."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path

from vig_pyg._class_folders import class_folders, some
from vig_pyg.image_io import IMAGE_EXTENSIONS, folders_in
from vig_pyg.train.splits import Samples, Split, divided

_log = logging.getLogger(__name__)

#: Names of the parts of a data set, in any case; the first that is there is taken.
TRAIN, VAL, TEST = ("train", "training"), ("val", "validation", "valid"), ("test", "testing")


def read_folders(root: Path) -> Split:
    """The images of a folder with `train/` and `val/`, or with one folder for each class.

    Both parts have one folder of images for each class. `validation/` and `valid/` are read as `val/` where there is
    none. Without parts a stratified fifth of the images is held out.

    Args:
        root: The folder.

    Raises:
        FileNotFoundError: If the folder does not exist, or one of its two parts.
        ValueError: If it has no images, a class of `train/` has none, or `val/` has another class.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"The data folder {root} does not exist.")
    folders = folders_in(root)
    parts = {folder.name.casefold(): folder for folder in folders if folder.name.casefold() in TRAIN + VAL + TEST}
    # a part holds folders; "train" can be a class too
    if not parts or not (len(parts) == len(folders) or any(folders_in(part) for part in parts.values())):
        return _undivided(root)
    train = next((parts[name] for name in TRAIN if name in parts), None)
    if train is None:
        raise FileNotFoundError(
            f"Expected {root / 'train'} with one folder of images for each class; it does not exist, but "
            f"{some(f'{part.name}/' for part in parts.values())} does."
        )
    held = [parts[name] for name in VAL if name in parts]
    if not held:
        raise FileNotFoundError(
            f"Expected {root / 'val'} with one folder of images for each class; it does not exist. Move a part of the "
            f"images there, or name {train} as the data: then a fifth of it is held out."
            + (f" {TEST[0]}/ is not used in training." if set(TEST) & set(parts) else "")
        )
    if len(held) > 1:
        if "val" not in parts:
            raise ValueError(f"{root} has {some(folder.name for folder in held)}: name the one to use val.")
        _log.warning("%s has %s: only val is used.", root, some(folder.name for folder in held))
    others = [folder.name for folder in folders if folder.name.casefold() not in parts]
    if others:
        _log.warning("%s has folders beside %s that are not used: %s.", root, train.name, some(others))
    return _divided(train, held[0])


def _divided(train: Path, val: Path) -> Split:
    classes = _with_images(train)
    class_names = list(classes)
    held = {name: images for name, images in class_folders(val).items() if images}
    unknown = sorted(set(held) - set(classes))
    if unknown:
        differ = sorted(set(held) ^ set(classes))
        folded = {name.casefold(): name for name in class_names}
        close = [folded.get(unknown[0].casefold()) or next(iter(difflib.get_close_matches(unknown[0], classes, 1)), "")]
        raise ValueError(
            f"{val} has {len(unknown)} folders that are no classes of {train}: {some(unknown)}"
            + (f" (did you mean {some(close)}?)" if close[0] else "")
            + f". Only one of the two has {differ[:20]}."
        )
    if not held:
        raise ValueError(f"{val} needs one folder of images for each class: it has no images in folders.")
    return Split(class_names, _samples(classes, class_names), _samples(held, class_names))


def _undivided(root: Path) -> Split:
    classes = _with_images(root)
    class_names = list(classes)
    if len(classes) == 1:
        inner = [folder.name for folder in folders_in(root) if folders_in(folder)]
        hint = f" If the classes are the folders in {root / inner[0]}, name that." if inner else ""
        raise ValueError(f"{root} has the images of one class only, {some(class_names)}; it takes two.{hint}")
    paths, labels = _samples(classes, class_names)
    return divided(paths, labels, class_names, root)


def _samples(classes: dict[str, list[Path]], class_names: list[str]) -> Samples:
    pairs = [(str(path), label) for label, name in enumerate(class_names) for path in classes.get(name, [])]
    return [path for path, _ in pairs], [label for _, label in pairs]


def _with_images(folder: Path) -> dict[str, list[Path]]:
    """The images of each class, of which each has some."""
    classes = class_folders(folder)
    empty = [name for name, images in classes.items() if not images]
    if empty:
        raise ValueError(
            f"{folder} needs one folder of images for each class: {len(empty)} of {len(classes)} have none "
            f"({some(empty)}). Fill or remove them; images end in {', '.join(sorted(IMAGE_EXTENSIONS))}."
        )
    return classes
