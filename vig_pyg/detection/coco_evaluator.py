"""Computation of average precision with pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from vig_pyg._requirements import require
from vig_pyg.detection.masks import encode_mask, read_outline
from vig_pyg.detection.records import DetectionDataset
from vig_pyg.detection.turns import turn_boxes_back, turn_maps_back, turned_size

#: Positions in COCO's summary: average over IoU 0.5 to 0.95, IoU 0.5, IoU 0.75, small, medium, large; recall with 100
#: boxes.
SUMMARY = {"AP": 0, "AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5, "AR": 8}
#: Smallest probability with which a pixel belongs to an object.
MASK_THRESHOLD = 0.5


def to_results(image_id: int, found: dict[str, Tensor], category_ids: list[int]) -> list[dict[str, Any]]:
    """Convert the detections of one image to COCO's format.

    Args:
        found: `boxes (n, 4)` (x1, y1, x2, y2), `labels (n,)`, `scores (n,)` and, for outlines, `masks (n, 1, H, W)`.
        category_ids: Category ID of each label, starting with label 1. Label 0 is background and is omitted.

    Shapes: boxes `(n, 4)` to n dicts.

    Returns:
        A dict for each object with `image_id`, `category_id`, `bbox` (x, y, width, height), `score` and, for
        outlines, `segmentation` (run lengths).

    Example:
        >>> import torch
        >>> boxes, labels = torch.tensor([[1.0, 2.0, 4.0, 8.0]]), torch.tensor([1])
        >>> to_results(7, {"boxes": boxes, "labels": labels, "scores": torch.ones(1)}, [18])[0]["bbox"]
        [1.0, 2.0, 3.0, 6.0]
    """
    boxes, labels, scores = found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist()
    results: list[dict[str, Any]] = []
    for i, ((x1, y1, x2, y2), label, score) in enumerate(zip(boxes, labels, scores, strict=True)):
        if label == 0:
            continue
        result = {"image_id": image_id, "category_id": category_ids[label - 1], "bbox": [x1, y1, x2 - x1, y2 - y1]}
        result["score"] = score
        if "masks" in found:
            result["segmentation"] = encode_mask((found["masks"][i, 0] >= MASK_THRESHOLD).cpu().numpy())
        results.append(result)
    return results


class CocoEvaluator:
    """Collects detections and computes average precision with pycocotools.

    Args:
        masks: If true, outlines are evaluated as well as boxes.

    Raises:
        ValueError: If outlines are missing (see `DetectionDataset.outlined`).

    Example:
        >>> from pathlib import Path
        >>> from vig_pyg.detection.records import ImageRecord
        >>> few = DetectionDataset("few", [ImageRecord(Path("a.jpg"), 1, (30, 40))], ["cat"], [1])
        >>> CocoEvaluator(few).compute()["AP"]  # there is no cat
        -1.0
    """

    def __init__(self, source: DetectionDataset, *, masks: bool = False) -> None:
        self.source = source = source.outlined() if masks else source
        self.turned = {record.image_id: record for record in source.records if record.turn != 1}
        self.kinds = {"bbox": "", "segm": "mask_"} if masks else {"bbox": ""}
        self.truth = _truth(source, masks)
        self.results: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Remove all detections."""
        self.results = []

    def update(self, image_ids: Iterable[int], found: Iterable[dict[str, Tensor]]) -> None:
        """Add detections in upright images (see `to_results`), rotated to the orientation of the annotations."""
        for image_id, part in zip(image_ids, found, strict=True):
            self.results += to_results(image_id, self._turned_back(image_id, part), self.source.category_ids)

    def _turned_back(self, image_id: int, found: dict[str, Tensor]) -> dict[str, Tensor]:
        record = self.turned.get(image_id)
        if record is None:
            return found
        size = turned_size(record.size, record.turn)
        found = {**found, "boxes": turn_boxes_back(found["boxes"], size, record.turn)}
        return found | {key: turn_maps_back(m, record.turn) for key, m in found.items() if key == "masks"}

    def compute(self) -> dict[str, float]:
        """Compute the scores, from 0 to 1, or -1 if there is no such object.

        Returns:
            `AP`, `AP50`, `AP75`, `AP_small`, `AP_medium`, `AP_large`, `AR`, and `AP50 NAME` for each class; for
            outlines the same names with the prefix `mask_`.
        """
        from pycocotools.cocoeval import COCOeval

        scores: dict[str, float] = {}
        for kind, prefix in self.kinds.items():
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints to stdout
                run = COCOeval(self.truth, self._found(kind), kind)
                run.evaluate()
                run.accumulate()
                run.summarize()
            scores |= {prefix + name: float(run.stats[place]) for name, place in SUMMARY.items()}
            for name, precision in zip(self.source.class_names, _of_classes(run), strict=True):
                scores[f"{prefix}AP50 {name}"] = precision
        return scores

    def _found(self, kind: str) -> Any:
        results = [dict(result) for result in self.results]  # pycocotools modifies the entries
        if kind == "segm":  # areas are then computed from the outlines
            for result in results:
                del result["bbox"]
        if results:
            return self.truth.loadRes(results)
        nothing = type(self.truth)()
        nothing.dataset = {**self.truth.dataset, "annotations": []}
        nothing.createIndex()
        return nothing


def _of_classes(run: Any) -> list[float]:
    """Return the average precision at IoU 0.5 of each class, for all sizes and at most 100 detections per image."""
    precision = run.eval["precision"][0, :, :, 0, -1]  # (recalls, classes)
    return [float(p.mean()) if p[0] > -1 else -1.0 for p in precision.T]


def _truth(source: DetectionDataset, masks: bool) -> Any:
    """Convert the annotated objects to a `COCO` object of pycocotools."""
    require("Average precision", ["pycocotools"], "detection")
    from pycocotools.coco import COCO

    annotations: list[dict[str, Any]] = []
    for record in source.records:
        for thing in record.annotations:
            x1, y1, x2, y2 = thing.box
            entry = {"id": len(annotations) + 1, "image_id": record.image_id, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            entry |= {"category_id": source.category_ids[thing.label - 1], "area": thing.area}
            entry["iscrowd"] = int(thing.crowd)
            if masks:
                entry["segmentation"] = read_outline(thing.segmentation, record.size).encoded()
            annotations.append(entry)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": r.image_id, "height": r.size[0], "width": r.size[1]} for r in source.records],
        "categories": [{"id": i, "name": n} for i, n in zip(source.category_ids, source.class_names, strict=True)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth
