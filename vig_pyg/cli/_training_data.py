"""The note that a run is evaluated on images on which it was trained, so that its scores are too high."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import say_note

#: The file with the values of a run. `vig_pyg.engine.run` names it too, but needs the extra `train`.
_VALUES = "config.yaml"


def note_on_folder(model: str, images: Iterable[object]) -> None:
    """Print the note if images are files in the folder on which a classifier was trained."""
    given = list(images)
    _print(model, lambda values: _images_in_folder(values, given) or _copies(values, given))


def note_on_part(model: str, data: str, split: str | None, root: str | None) -> None:
    """Print the note if data with a prefix is the part on which a classifier was trained."""
    _print(model, lambda values: _is_part(values, data, split, root) and "these images")


def is_trained_table(model: str, table: str) -> bool:
    """True if a classifier was trained on this table of images, wherever it is named from."""
    return bool(_of_run(model, lambda values: Path(values["data"]).resolve() == Path(table).resolve()))


def note_on_table(model: str, table: str, split: str | None, images: Iterable[object]) -> None:
    """Print the note if images of a table were used in training, or that only those held out of it are evaluated."""
    from vig_pyg.classification.folders import part_of
    from vig_pyg.classification.tables import is_divided

    if not is_trained_table(model, table):
        return note_on_folder(model, images)
    if split is not None:
        return _print(model, lambda _: part_of(split) == "train" and "these images")
    if not is_divided(Path(table)):
        say_note(
            f"{terminal_text(model)} was trained on {terminal_text(table)}, which has no column split: only the fifth "
            "that was held out is evaluated"
        )


def note_on_source(model: str, source: str) -> None:
    """Print the note if a source of annotated images is the one on which a detector or segmenter was trained."""
    _print(model, lambda values: _same_source(values["train"], source))


def values_of(model: str) -> dict[str, Any]:
    """Return the values with which a run was trained; no values if the model is no run, or its file cannot be read.

    Example:
        >>> values_of("pvig_small")
        {}
    """
    try:
        if not (Path(model) / _VALUES).is_file() or find_spec("yaml") is None:
            return {}
        from vig_pyg._io.bounded_yaml import read_yaml

        return read_yaml(Path(model) / _VALUES)
    except (OSError, ValueError):
        return {}


def _print(model: str, trained_on: Callable[[Mapping[str, Any]], str | bool]) -> None:
    """Print the note if a function of the values of the run returns which images it was trained on."""
    if which := _of_run(model, trained_on):
        run = Path(model)
        say_note(
            f"{terminal_text(run)} was trained on {which}, so its scores on new images are probably "
            f"lower; those on its validation images are in {terminal_text(run / 'metrics.csv')}"
        )


def _of_run(model: str, wanted: Callable[[Mapping[str, Any]], str | bool]) -> str | bool:
    """Return what a function of the values of a run returns; without values, or if they do not fit, `""`."""
    try:
        return wanted(values) if (values := values_of(model)) else ""
    except (OSError, ValueError, TypeError, KeyError):  # the evaluation does not need the file
        return ""


def _images_in_folder(values: Mapping[str, Any], images: list[object]) -> str:
    """Return which images are in the folder of the training images, in words, or `""` if none is."""
    from vig_pyg.classification.folders import training_folder

    root = Path(values["data"])
    if not root.is_dir():
        return ""
    trained = training_folder(root)
    real = trained.resolve()
    parents = [Path(image).parent for image in images if isinstance(image, str | Path)]
    inside = {parent for parent in set(parents) if parent.resolve().is_relative_to(real)}
    count = sum(parent in inside for parent in parents)
    if not count:
        return ""
    which = "these images" if count == len(images) else f"{count:,} of these {len(images):,} images"
    return which if trained != root else f"about four fifths of {which}"  # a fifth was held out


def _copies(values: Mapping[str, Any], images: list[object]) -> str:
    """Return which of the images are copies of training images, in words, or `""`."""
    trained, whole = _trained_files(Path(values["data"]))
    which = _copied(trained, [str(image) for image in images if isinstance(image, str | Path)])
    return which if whole or not which else f"about four fifths of the originals of {which.removeprefix('copies of ')}"


def _copied(trained: Iterable[str], images: list[str]) -> str:
    """Return which of the images are copies of training images, in words, or `""` if none is."""
    from vig_pyg.classification.splits import find_copies
    from vig_pyg.image_io import IMAGE_EXTENSIONS

    count = len(find_copies([file for file in trained if Path(file).suffix.lower() in IMAGE_EXTENSIONS], images))
    if not count:
        return ""
    return "copies of these images" if count == len(images) else f"copies of {count:,} of these {len(images):,} images"


def _same_source(trained: str, source: str) -> str:
    """Return which annotated images are those of the training or copies of them, in words, or `""`.

    The images of files of annotations are compared only if these are equal: they may name a hundred thousand. The same
    annotations may belong to other images, such as those of a second camera.
    """
    (there, part), (here, other) = _place(trained), _place(source)
    if (there, part) == (here, other):
        return "these images"
    if there.is_file() and here.is_file():
        if not filecmp.cmp(there, here, shallow=False):
            return ""
        from vig_pyg.detection.coco import image_files
        from vig_pyg.detection.data import check_source

        both = [[str(file) for file in image_files(*check_source(one))] for one in (trained, source)]
        return _copied(*both)
    folders = [place / "images" for place in (there, here)]
    if part or other or not all(folder.is_dir() for folder in folders):
        return ""
    files = [[str(file) for file in folder.rglob("*") if file.is_file()] for folder in folders]
    return _copied(*files)


def _trained_files(data: Path) -> tuple[list[str], bool]:
    """Return the files of a folder or a table for training, and whether all of them were trained on."""
    from vig_pyg.classification.folders import training_folder
    from vig_pyg.classification.named import is_table
    from vig_pyg.classification.tables import is_divided, read_part

    if data.is_dir():
        trained = training_folder(data)
        return [str(file) for file in trained.rglob("*")], trained != data
    if not is_table(str(data)) or not data.is_file():
        return [], True
    divided = is_divided(data)
    return list(map(str, read_part(data, "train" if divided else None, whole=True)[1][0])), divided


def _is_part(values: Mapping[str, Any], data: str, split: str | None, root: str | None) -> bool:
    """True if a part is named that is the training part of the same data."""
    from vig_pyg.classification.folders import part_of

    if split is None or values["data"] != data or (root or "data") != values.get("root", "data"):
        return False
    trained = values.get("train_split")
    return split == trained if trained is not None else part_of(split) == "train"


def _place(source: str) -> tuple[Path, str]:
    """Return the file or folder of a source, and the name of its part; a file of annotations has no parts."""
    if Path(source).exists():
        return Path(source).resolve(), ""
    place, _, part = source.rpartition(":")
    return Path(place).resolve(), "" if Path(place).is_file() else part
