"""COCO's format: `instances.json` and a folder of pictures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from vig_pyg.detection.records import Annotated, OnBad, Record, Thing, sound_box


def read_coco(path: str | Path, images: str | Path | None = None, *, on_bad: OnBad = "drop") -> Annotated:
    """The pictures and objects of a COCO file.

    Labels count the categories in the order of their numbers, from 1. Crowds are marked as such.

    Args:
        path: The JSON file.
        images: The folder of the pictures. By default the first of these that has them: `images/` beside the file,
            its own folder, and `NAME/` beside its folder for a file `instances_NAME.json`, as in COCO.
        on_bad: What to do with boxes without area (see `sound_box`).

    Raises:
        FileNotFoundError: If the file or a picture does not exist.
        ValueError: If the file is not in COCO's format, with what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no COCO file at {path}.")
    try:
        content = json.loads(path.read_text())
        names = [str(entry["file_name"]) for entry in content["images"]]
        categories = sorted((int(entry["id"]), str(entry["name"])) for entry in content["categories"])
        sizes = [(int(entry["height"]), int(entry["width"])) for entry in content["images"]]
        ids = [int(entry["id"]) for entry in content["images"]]
        things = _things(
            content["annotations"], dict(zip(ids, zip(names, sizes, strict=True), strict=True)), categories, on_bad
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is not in COCO's format for objects: {error!r}.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice or not ids:
        problem = f"image ids that appear twice: {twice[:4]}" if twice else "no images"
        raise ValueError(f"{path} has {problem}.")
    folder = _folder(path, images, names[0])
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{len(missing)} pictures of {path} are not in {folder}; the first is {missing[0]}.")
    records = [
        Record(folder / name, image_id, size, things[image_id])
        for name, image_id, size in zip(names, ids, sizes, strict=True)
    ]
    return Annotated(path.stem, records, [name for _, name in categories], [number for number, _ in categories])


def _things(
    annotations: list[dict[str, Any]],
    images: dict[int, tuple[str, tuple[int, int]]],
    categories: list[tuple[int, str]],
    on_bad: OnBad,
) -> dict[int, list[Thing]]:
    """The objects of each image."""
    labels = {number: i + 1 for i, (number, _) in enumerate(categories)}
    things: dict[int, list[Thing]] = {image_id: [] for image_id in images}
    for entry in annotations:
        image_id, category = entry["image_id"], entry["category_id"]
        what = f"annotation {entry.get('id')}"
        if image_id not in images:
            raise ValueError(f"{what} belongs to image {image_id}, which is not in the file.")
        if category not in labels:
            raise ValueError(f"{what} has category {category}, which is not in the file.")
        x, y, w, h = (float(number) for number in entry["bbox"])
        name, size = images[image_id]
        box = sound_box((x, y, x + w, y + h), size, f"{name}, {what}", on_bad)
        if box is not None:
            area = float(entry.get("area", w * h))
            crowd = bool(entry.get("iscrowd", 0))
            things[image_id].append(Thing(box, labels[category], crowd, entry.get("segmentation") or None, area))
    return things


def _folder(path: Path, images: str | Path | None, first: str) -> Path:
    """Where the pictures are."""
    tried = [path.parent / "images", path.parent, path.parent.parent / path.stem.removeprefix("instances_")]
    if images is not None:
        tried = [Path(images)]
    for folder in tried:
        if (folder / first).is_file():
            return folder
    places = ", ".join(str(folder) for folder in tried)
    raise FileNotFoundError(f"The pictures of {path} ({first} is the first) are not in {places}: name their folder.")
