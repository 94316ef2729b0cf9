"""Reading of image folders with one folder per class, with or without a division into training and validation."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from vig_pyg._io.faults import MOST_NAMED, all_faults, read_each
from vig_pyg._io.numbers import counted
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text
from vig_pyg.classification.splits import Samples, Split, divided
from vig_pyg.image_io import IMAGE_EXTENSIONS, folders_in, is_passed_over
from vig_pyg.image_io._class_folders import class_folders, composed, some

_log = logging.getLogger(__name__)

#: Names of the parts of a data set, in any letter case.
TRAIN, VAL, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
#: Words that may be part of these names, as in "training_set".
_FILLERS = {"set", "data", "dataset", "images", "imgs", "split"}


def read_folders(root: Path, *, empty: Literal["stop", "drop"] = "stop") -> Split:
    """Read the images of a folder with `train/` and `val/`, or with one folder for each class.

    `train/` and `val/` each contain one folder of images per class. If there is no `val/`, `validation/` or `valid/`
    is read instead. Without `train/` and `val/`, a stratified fifth of the images is used for validation.

    Args:
        empty: How to handle a class whose training folder has no images: `"stop"` with an error, or `"drop"` the class
            with its validation images, and log its name.

    Raises:
        FileNotFoundError: If the folder does not exist, or only one of `train/` and `val/` exists.
        ValueError: If there are no images, a class in `train/` has none, or `val/` contains an additional class.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"The data folder {root} does not exist.{did_you_mean(root)}")
    parts = _parts(root)
    if not parts:
        return _undivided(root, empty)
    known = [folder for found in parts.values() for folder in found]
    if not parts["train"]:
        raise FileNotFoundError(
            f"Expected {root / 'train'} with one folder of images for each class; it does not exist, but "
            f"{some(f'{part.name}/' for part in known)} does."
        )
    train = _chosen(parts["train"], "train", root)
    if not parts["val"]:
        errors: list[Exception] = [FileNotFoundError(
            f"Expected {root / 'val'} with one folder of images for each class; it does not exist. Move a part of the "
            f"images there, or pass {train} as the data: then a fifth of it is used for validation."
            + "".join(f" {part.name}/ is not used in training." for part in parts["test"][:1])
        )]  # fmt: skip
        read_each(lambda folder: _with_images(folder, empty), [train], errors)
        raise all_faults(errors, f"The images of {root}")
    val = _chosen(parts["val"], "val", root)
    others = [folder.name for folder in folders_in(root) if folder not in known]
    if others:
        _log.warning(
            "%s has other folders than %s that are not used: %s.", *map(terminal_text, (root, train.name)), some(others)
        )
    return _divided(train, val, empty)


def training_folder(root: Path) -> Path:
    """Return the folder with the class folders of the training images; no image is read, and nothing is logged.

    Args:
        root: The folder of a data set. If it is not divided, it is returned, although a fifth of its images is used for
            validation.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root:
        ...     (Path(root) / "train" / "cat").mkdir(parents=True)
        ...     training_folder(Path(root)).name
        'train'
    """
    found = _parts(root).get("train", [])
    return next((folder for folder in found if folder.name == "train"), (*found, root)[0])


def part_folders(root: Path) -> list[Path]:
    """Return the folders of all parts, such as `train/` and `val/`; none if the folders in `root` are classes.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root:
        ...     (Path(root) / "val" / "cat").mkdir(parents=True)
        ...     [folder.name for folder in part_folders(Path(root))]
        ['val']
    """
    return [folder for found in _parts(root).values() for folder in found]


def _parts(root: Path) -> dict[str, list[Path]]:
    """Return the folders of each part, or no parts if the folders in `root` are classes."""
    folders = folders_in(root)
    parts = {part: [folder for folder in folders if part_of(folder.name) == part] for part in ("train", "val", "test")}
    known = [folder for found in parts.values() for folder in found]
    # a part contains folders; a class can also be called "train"
    divided = bool(known) and (len(known) == len(folders) or any(folders_in(part) for part in known))
    return parts if divided else {}


def part_of(name: str) -> str:
    """Return `"train"`, `"val"` or `"test"` if a folder name has this meaning, otherwise `""`.

    Example:
        >>> part_of("Validation"), part_of("training_set"), part_of("cat")
        ('val', 'train', '')
    """
    words = set(re.split(r"[\s_.-]+", name.casefold())) - _FILLERS
    parts = [part for names, part in ((TRAIN, "train"), (VAL, "val"), (TEST, "test")) if words & set(names)]
    return parts[0] if len(words) == len(parts) == 1 else ""


def _chosen(folders: list[Path], name: str, root: Path) -> Path:
    """Return the folder that is called `name`, or the only folder."""
    exact = [folder for folder in folders if folder.name == name]
    shown = some(folder.name for folder in folders)
    if len(folders) > 1 and not exact:
        raise ValueError(f"{root} has {shown}: rename the one to use to {name}.")
    if len(folders) > 1:
        _log.warning("%s has %s: only %s is used.", terminal_text(root), shown, name)
    return exact[0] if exact else folders[0]


def _divided(train: Path, val: Path, empty: str) -> Split:
    errors: list[Exception] = []
    found = read_each(lambda folder: _with_images(folder, empty), [train], errors)
    # of empty classes, there is an error already
    classes, left_out = found[0] if found else ({composed(folder.name): [] for folder in folders_in(train)}, [])
    held = read_each(lambda folder: _held_out(folder, train, classes, left_out), [val], errors)
    if errors:
        raise all_faults(errors, f"The images of {train.parent}")
    class_names = list(classes)
    return Split(class_names, _samples(classes, class_names), _samples(held[0], class_names))


def _held_out(val: Path, train: Path, classes: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, list[str]]:
    """Return the validation images of each class, which must be a class of the training images too."""
    held = {name: images for name, images in class_folders(val).items() if images and name not in left_out}
    unknown = sorted(set(held) - set(classes))
    if unknown:
        differ = sorted(set(held) ^ set(classes))
        folded = {name.casefold(): name for name in classes}
        close = [folded.get(unknown[0].casefold()) or next(iter(difflib.get_close_matches(unknown[0], classes, 1)), "")]
        be = "is not a class" if len(unknown) == 1 else "are not classes"
        raise ValueError(
            f"{val} has {counted(len(unknown), 'folders')} that {be} in {train}: {some(unknown)}"
            + (f" (did you mean {some(close)}?)" if close[0] else "")
            + f". Rename or remove {'it' if len(unknown) == 1 else 'them'}, or add images to {train}."
            + (f" Only one of the two has {some(differ)}." if differ != unknown else "")
        )
    if not held:
        raise ValueError(f"{val} needs one folder of images for each class: it has no images in folders.")
    return held


def _undivided(root: Path, empty: str) -> Split:
    classes, _ = _with_images(root, empty)
    class_names = list(classes)
    if len(classes) == 1:
        inner = [folder.name for folder in folders_in(root) if folders_in(folder)]
        hint = f" If the classes are the folders in {root / inner[0]}, pass that folder." if inner else ""
        raise ValueError(f"{root} has images of only one class, {some(class_names)}; at least two are needed.{hint}")
    inside = [{Path(path).relative_to(root).parts[1:-1][:1] for path in paths} - {()} for paths in classes.values()]
    if inside[0] and all(names == inside[0] for names in inside):
        _log.warning(
            "The classes of %s are its folders %s. All of them contain the same folders, %s: if these are the classes, "
            "pass a folder that contains them.",
            terminal_text(root), some(class_names), some(sorted("/".join(parts) for parts in inside[0])),
        )  # fmt: skip
    paths, labels = _samples(classes, class_names)
    return divided(paths, labels, class_names, root)


def _samples(classes: dict[str, list[str]], class_names: list[str]) -> Samples:
    pairs = [(path, label) for label, name in enumerate(class_names) for path in classes.get(name, [])]
    return [path for path, _ in pairs], [label for _, label in pairs]


def _other_ends(folder: Path, classes: list[str]) -> str:
    """Return the extensions of the files in the folders of classes without images, as the rest of a remark."""
    inside = [one for name in classes if (folder / name).is_dir() for one in (folder / name).iterdir()]
    ends = sorted(
        {one.suffix.lower() for one in inside if one.suffix and one.is_file() and not is_passed_over(one.name)}
    )
    return f"; files there end in {some(ends)}" if ends else ""


def _with_images(folder: Path, empty: str) -> tuple[dict[str, list[str]], list[str]]:
    """Return the images of each class, and the names of the classes that are left out because they have none."""
    classes = class_folders(folder)
    none = [name for name, images in classes.items() if not images]
    if none and (empty == "stop" or len(none) == len(classes)):
        has, them = ("has", "it") if len(none) == 1 else ("have", "them")
        raise ValueError(
            f"{folder} needs one folder of images for each class: {len(none)} of {len(classes)} {has} none "
            f"({some(none, most=MOST_NAMED)}{_other_ends(folder, none)}). Fill or remove {them}, or use "
            f"on_bad='drop' (--on-bad drop); images end in {', '.join(sorted(IMAGE_EXTENSIONS))}."
        )
    if none:
        _log.warning(
            "%s has no images of %s (%s), which %s left out.",
            terminal_text(folder), counted(len(none), "classes"), some(none, most=MOST_NAMED),
            "is" if len(none) == 1 else "are",
        )  # fmt: skip
    return {name: images for name, images in classes.items() if images}, none
