"""Reading of COCO's panoptic and instance formats as classes of pixels."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from vig_pyg._io.faults import first_ten
from vig_pyg._io.numbers import counted
from vig_pyg.detection.coco import read_content
from vig_pyg.segmentation.masks import IGNORED, PanopticMask
from vig_pyg.segmentation.records import OnBad, SegmentationDataset, SegmentationRecord
from vig_pyg.segmentation.sources.coco_instances import read_instances
from vig_pyg.segmentation.sources.registry import register_format


@register_format(
    "coco",
    form="FILE.json or FILE.json:IMAGES in COCO's panoptic or instance format",
    recognizes=lambda path, _: path.suffix == ".json",
    has_objects=True,
)
def read_coco_classes(path: Path, part: str | None, *, on_bad: OnBad = "stop") -> SegmentationDataset:
    """Read a file in COCO's panoptic or instance format.

    In the panoptic format, the masks are in the folder that has the file's name without `.json`, crowds and pixels
    without a segment are ignored, and the classes are the categories in the order of their IDs. In the instance format,
    a class `background` comes before the categories (a category with this name, in any letter case, is this class),
    smaller objects are in front of larger ones, and crowds are ignored.

    Args:
        path: The JSON file.
        part: The folder of the images; by default `images/` next to the file, the folder of the file, or, for
            `panoptic_NAME.json` and `instances_NAME.json`, the folder `NAME/` next to the folder of the file.
        on_bad: How to handle an object whose outline cannot be used: `"stop"` with an error, or `"drop"` it with a
            warning. The pixels of its box are then ignored; if its box cannot be used either, its image is left out.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the file is in neither format, two categories have the same name, no object has an outline, or
            one cannot be used and `on_bad` is `"stop"`; the message names the entry.
        ImportError: If pycocotools is missing, which outlines need.
    """
    content = read_content(path)
    annotations = content.get("annotations")
    if isinstance(annotations, list) and any(isinstance(one, dict) and "segments_info" in one for one in annotations):
        return _panoptic(path, content, part)
    return read_instances(path, content, part, on_bad)


def _panoptic(path: Path, content: dict[str, Any], part: str | None) -> SegmentationDataset:
    images = _by_id(content, "images", path)
    categories = {
        number: _get(entry, "name", str, path).strip() for number, entry in _by_id(content, "categories", path).items()
    }
    first: dict[str, int] = {}
    for number, name in categories.items():
        if first.setdefault(name, number) != number:
            raise ValueError(f"{path}: the categories {first[name]} and {number} are both called {name!r}: rename one.")
    labels = {number: i for i, number in enumerate(sorted(categories))}
    masks = path.with_suffix("")
    folder = _folder(path, part, [_get(entry, "file_name", str, path) for entry in images.values()])
    records: list[SegmentationRecord] = []
    seen: set[int] = set()
    for entry in _list(content, "annotations", path):
        number = _get(entry, "image_id", int, path)
        if number not in images or number in seen:
            why = "which is not in the file" if number not in images else "which has two annotations"
            raise ValueError(f"{path}: an annotation belongs to image {number}, {why}.")
        seen.add(number)
        segments = _segments(entry, labels, f"{path}: image {number}")
        mask = masks / _get(entry, "file_name", str, path)
        records.append(SegmentationRecord(folder / images[number]["file_name"], PanopticMask(mask, segments)))
    alone = sorted(images.keys() - seen)
    if alone:
        named = first_ten([str(images[number]["file_name"]) for number in alone])
        raise ValueError(
            f"{path}: {counted(len(alone), 'images')} {'has' if len(alone) == 1 else 'have'} no mask:{named}"
        )
    files = [file for record in records for file in (record.path, record.mask.path)]
    if gone := [str(file) for file in files if not file.is_file()]:
        count = f"{len(gone):,} of {counted(len(files), 'files')} that {path} names"
        raise FileNotFoundError(f"{count} {'does' if len(gone) == 1 else 'do'} not exist:{first_ten(gone)}")
    names = [categories[number] for number in sorted(categories)]
    return SegmentationDataset(path.stem, records, names, read_files=[path])


def _by_id(content: dict[str, Any], key: str, path: Path) -> dict[int, dict[str, Any]]:
    """Return the entries of a list by their IDs."""
    found: dict[int, dict[str, Any]] = {}
    for entry in _list(content, key, path):
        number = _get(entry, "id", int, path)
        if number in found:
            raise ValueError(f"{path}: the id {number} appears twice in {key}.")
        found[number] = entry
    return found


def _segments(entry: dict[str, Any], labels: dict[int, int], where: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for segment in _list(entry, "segments_info", where):
        number, category = (_get(segment, key, int, where) for key in ("id", "category_id"))
        if category not in labels:
            raise ValueError(f"{where}: segment {number} has category {category}, which is not in the file.")
        found[number] = IGNORED if segment.get("iscrowd") in (1, True) else labels[category]
    return found


def _folder(path: Path, part: str | None, names: list[str]) -> Path:
    """Return the folder of the images."""
    if part is not None:
        return Path(part)
    of_name = path.parent.parent / path.stem.removeprefix("panoptic_")
    places = [path.parent / "images", path.parent, of_name]
    return next((place for place in places if names and (place / names[0]).is_file()), places[0])


def _list(content: dict[str, Any], key: str, where: object) -> list[dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{where} is not in COCO's panoptic format: expected a list of objects {key!r}.")
    return entries


def _get(entry: dict[str, Any], key: str, kind: type, where: object) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"{where}: {key}: expected a {kind.__name__}, got {reprlib.repr(value)} in {reprlib.repr(entry)}."
        )
    return value
