"""Detected objects as the text of a JSON or a CSV file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vig_pyg._io.text import as_csv, json_text

if TYPE_CHECKING:
    from vig_pyg.detection.load import ObjectDetector
    from vig_pyg.detection.predict import Predictions

#: Columns of the CSV file; a box is x1, y1, x2, y2 in pixels.
COLUMNS = ("path", "name", "score", "x1", "y1", "x2", "y2", "error")


def objects_json(model: str, detector: ObjectDetector, found: Predictions) -> str:
    """Return the objects of each image as JSON."""
    content = {
        "model": model,
        "images": [
            {"path": image["file_name"], "height": image["height"], "width": image["width"], "objects": objects}
            for image, objects in _by_image(detector, found)
        ],
        "unreadable": [{"path": str(one.path), "reason": one.reason} for one in found.broken],
    }
    return json_text(content) + "\n"


def objects_csv(detector: ObjectDetector, found: Predictions) -> str:
    """Return the objects as CSV with one row each; an image without objects has a row with its name only."""
    rows: list[tuple[object, ...]] = []
    for image, objects in _by_image(detector, found):
        rows += [(image["file_name"], one["name"], one["score"], *one["box"], "") for one in objects]
        if not objects:
            rows.append((image["file_name"], "", "", "", "", "", "", ""))
    rows += [(one.path, "", "", "", "", "", "", one.reason) for one in found.broken]
    return as_csv(COLUMNS, rows)


def _by_image(detector: ObjectDetector, found: Predictions) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return each image with its objects: name, score, box and, for outlines, COCO's run lengths."""
    names = dict(zip(detector.category_ids, detector.class_names, strict=True))
    objects: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in found.images}
    for entry in found.annotations:
        x, y, width, height = entry["bbox"]
        one = {"name": names[entry["category_id"]], "score": entry["score"], "box": [x, y, x + width, y + height]}
        one |= {key: entry[key] for key in ("segmentation",) if key in entry}
        objects[entry["image_id"]].append(one)
    return [(image, objects[image["id"]]) for image in found.images]
