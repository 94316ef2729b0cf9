"""Reading of COCO's format: `instances.json` and a folder of images."""

from __future__ import annotations

import json
import logging
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any

from vig_pyg._io.bounded_json import kind_of
from vig_pyg._io.faults import first_ten
from vig_pyg._io.numbers import are, counted
from vig_pyg.detection._values import as_size, as_whole
from vig_pyg.detection.coco_objects import called, read_things
from vig_pyg.detection.records import DetectionDataset, ImageRecord, OnBad
from vig_pyg.detection.turns import settle

#: Largest file that is read. COCO's own files have half a gigabyte, and Python needs about ten times as much memory.
MAX_BYTES = 2**31
_log = logging.getLogger(__name__)


def read_coco(
    path: str | Path,
    images: str | Path | None = None,
    *,
    on_bad: OnBad = "drop",
    content: dict[str, Any] | None = None,
) -> DetectionDataset:
    """Read the images and objects of a COCO file.

    Labels are the positions of the categories, from 1, in the order of their IDs. Crowds (`iscrowd`) are marked.
    Numbers and flags may be text, and file names may contain backslashes. An object without a box gets the bounding box
    of its outline, and the size of an image without width and height is read from its file.

    Args:
        path: The JSON file.
        images: The folder of the images. By default, the first of these folders that contains them: `images/` next to
            the file, the folder of the file, and, for a file `instances_NAME.json`, `NAME/` next to its folder.
        on_bad: How to handle boxes without area (see `clip_box`).
        content: The content of the file (see `read_content`), if it has been read already.

    Raises:
        FileNotFoundError: If the file or an image does not exist.
        ValueError: If the file is not in COCO's format; the message names the entry and the reason.
    """
    path = Path(path)
    content = read_content(path) if content is None else content
    entries = {key: _entries(content, key, path) for key in ("images", "annotations", "categories")}
    ids = [_value(as_whole, entry, "id", f"images[{i}]", path) for i, entry in enumerate(entries["images"])]
    names = [_name(entry, f"image {i}", "file_name", path) for i, entry in zip(ids, entries["images"], strict=True)]
    if not ids:
        raise ValueError(f"{path} has no images.")
    _once(ids, "image ids that appear twice", path)
    files = _files(path, names, images)
    _once(files, "images that appear twice under two image ids, and whose annotations must be merged", path)
    used = _users(entries["annotations"], path)
    sizes = [
        as_size(entry.get("height"), entry.get("width"), f"{path}: image {i}")
        for i, entry in zip(ids, entries["images"], strict=True)
    ]
    settled = [settle(f, size, objects=i in used["image_id"]) for f, size, i in zip(files, sizes, ids, strict=True)]
    categories = _categories(entries["categories"], used["category_id"], path)
    known = {i: (name, size) for i, name, (size, _) in zip(ids, names, settled, strict=True)}
    things = read_things(entries["annotations"], known, [number for number, _ in categories], path, on_bad)
    records = [
        ImageRecord(file, i, size, things[i], turn) for file, i, (size, turn) in zip(files, ids, settled, strict=True)
    ]
    names, numbers = [name for _, name in categories], [number for number, _ in categories]
    return DetectionDataset(path.stem, records, names, numbers, on_bad, read_files=[path])


def image_files(path: str | Path, images: str | Path | None = None) -> list[Path]:
    """Return the image files of a COCO file, which are found as in `read_coco`; its objects are not read."""
    path = Path(path)
    entries = _entries(read_content(path), "images", path)
    names = [_name(entry, f"images[{i}]", "file_name", path) for i, entry in enumerate(entries)]
    return _files(path, names, images) if names else []


def read_content(path: Path) -> dict[str, Any]:
    """Read the content of a COCO file, with a limit on its size."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no COCO file at {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES / 2**30:.0f} GiB: split it.")
    try:
        content = json.loads(path.read_bytes())  # in any Unicode encoding, with or without a byte-order mark
    except RecursionError:
        raise ValueError(f"{path} is not in COCO's format for objects: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not in COCO's format for objects: it is not JSON ({error}).") from error
    if isinstance(content, dict):
        return content
    results = isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "score" in content[0]
    hint = ", as in result files: pass the annotation file" if results else ""
    raise ValueError(
        f"{path} is not in COCO's format for objects: expected images, annotations and categories, got "
        f"{kind_of(content)}{hint}."
    )


def _entries(content: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not in COCO's format for objects: it has no list {key!r}.")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{path} is not in COCO's format for objects: {key}[{i}] is {reprlib.repr(entry)}.")
    return entries


def _value(read: Any, entry: dict[str, Any], key: str, where: str, path: Path) -> Any:
    try:
        return read(entry.get(key))
    except ValueError as error:
        raise ValueError(f"{path}: {where}: {key}: {error}.") from None


def _name(entry: dict[str, Any], where: str, key: str, path: Path) -> str:
    name = entry.get(key)
    if isinstance(name, int | float) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise ValueError(f"{path}: {where}: {key}: expected a name, got {reprlib.repr(name)}.")
    return name


def _once(values: list[Any], problem: str, path: Path) -> None:
    twice = [str(value) for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{path} has {problem}: {', '.join(twice[:4])}.")


def _users(annotations: list[dict[str, Any]], path: Path) -> dict[str, set[int]]:
    """Return the IDs of the images and categories that annotations use."""
    found: dict[str, set[int]] = {"image_id": set(), "category_id": set()}
    for i, entry in enumerate(annotations):
        for key, numbers in found.items():
            numbers.add(_value(as_whole, entry, key, called(entry, i), path))
    return found


def _categories(entries: list[dict[str, Any]], used: set[int], path: Path) -> list[tuple[int, str]]:
    """Return category IDs and names sorted by ID; if several IDs have one name, only the ID that objects use."""
    found: dict[int, str] = {}
    for i, entry in enumerate(entries):
        number = _value(as_whole, entry, "id", f"categories[{i}]", path)
        name = _name(entry, f"category {number}", "name", path).strip()
        if found.setdefault(number, name) != name:
            raise ValueError(f"{path}: category {number} has two names, {found[number]!r} and {name!r}.")
    numbers: dict[str, list[int]] = {}
    for number, name in sorted(found.items()):
        numbers.setdefault(name, []).append(number)
    for name, same in numbers.items():
        users = [number for number in same if number in used]
        if len(users) > 1:
            raise ValueError(f"{path}: the categories {users[0]} and {users[1]} are both called {name!r}: rename one.")
        if len(same) > 1:
            numbers[name] = users or same[:1]
            _log.warning("%s: several categories are called %r; category %d is used.", path, name, numbers[name][0])
    if not numbers:
        raise ValueError(f"{path} has no categories.")
    return sorted((same[0], name) for name, same in numbers.items())


def _files(path: Path, names: list[str], images: str | Path | None) -> list[Path]:
    """Find the image files."""
    tried = [path.parent / "images", path.parent, path.parent.parent / path.stem.removeprefix("instances_")]
    if images is not None:
        tried = [Path(images)]
    folder = next((folder for folder in tried if _find(folder, names[0]) is not None), None)
    if folder is None and len(names) > 1:  # the first image may be missing
        folder = next((folder for folder in tried if any(_find(folder, n) is not None for n in names[1:9])), None)
    if folder is None:
        places = ", ".join(str(folder) for folder in tried)
        raise FileNotFoundError(
            f"The images of {path} (the first is {names[0]}) are not in {places}: pass their folder."
        )
    found = [_find(folder, name) for name in names]
    missing = [name for name, file in zip(names, found, strict=True) if file is None]
    if missing:
        count = f"{counted(len(missing), 'images')} of {path} {are(len(missing))}"
        raise FileNotFoundError(f"{count} not in {folder}:{first_ten(list(map(str, missing)))}")
    files = [file for file in found if file is not None]
    names_of: dict[Path, str] = {}
    for name, file in zip(names, files, strict=True):
        if names_of.setdefault(file, name) != name:
            raise ValueError(f"{path}: {names_of[file]} and {name} both match {file}: keep their subfolders.")
    return files


def _find(folder: Path, name: str) -> Path | None:
    """Find an image by its name, by its name with backslashes as separators, or by its last part."""
    forward = name.replace("\\", "/")
    for part in dict.fromkeys((name, forward, forward.rsplit("/", 1)[-1])):
        try:
            if part and (folder / part).is_file():
                return folder / part
        except (OSError, ValueError):  # not a valid file name
            continue
    return None
