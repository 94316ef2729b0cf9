"""Annotated images for the training and evaluation of detectors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from vig_pyg._io.source_text import path_and_part
from vig_pyg._io.suggest import did_you_mean
from vig_pyg.artifact import write_config
from vig_pyg.detection.augment import Sample
from vig_pyg.detection.coco import read_coco
from vig_pyg.detection.coco_evaluator import CocoEvaluator
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.dataset import ADVICE, DetectionSet
from vig_pyg.detection.module import DetectorModule
from vig_pyg.detection.records import DetectionDataset, OnBad
from vig_pyg.detection.transform import DetectionTransform, Target
from vig_pyg.detection.turns import turned_size
from vig_pyg.detection.voc import read_voc
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.data import CardText, TrainData, on_a
from vig_pyg.engine.faults import with_all_faults


def open_source(source: str | Path, *, classes: list[str] | None = None, on_bad: OnBad = "drop") -> DetectionDataset:
    """Read annotated images from a source that is given as text.

    Args:
        source: `FILE.json` or `FILE.json:IMAGES` for COCO's format (see `read_coco`), `FOLDER:LIST` for Pascal VOC.
        classes: The class names that the source must have; by default its own.
        on_bad: How to handle boxes without area (see `clip_box`).

    Raises:
        FileNotFoundError: If a file or folder does not exist.
        ValueError: If the text has another form, or the content is invalid.

    Example:
        >>> open_source("/nowhere.json")
        Traceback (most recent call last):
        FileNotFoundError: There is no COCO file at /nowhere.json.
    """
    path, part = check_source(source)
    if path.suffix == ".json":
        found = read_coco(path, part, on_bad=on_bad)
        return found if classes is None else found.with_classes(classes)
    assert part is not None  # `check_source` raises an error for other texts
    return read_voc(path, part, classes=classes, on_bad=on_bad)


def check_source(source: str | Path) -> tuple[Path, str | None]:
    """Check the form of a source that is given as text, and that its file or folder exists; nothing is read.

    Args:
        source: As for `open_source`.

    Returns:
        The file or folder, and the part after the colon, or `None`.

    Raises:
        FileNotFoundError: If the file or folder does not exist.
        ValueError: If the text has another form.

    Example:
        >>> check_source("/nowhere.json:images")
        Traceback (most recent call last):
        FileNotFoundError: There is no COCO file at /nowhere.json.
    """
    text = str(source)
    path, part = path_and_part(source)
    if path.suffix != ".json" and part is None:
        lists = {one.stem: f"{path}:{one.stem}" for one in sorted((path / "ImageSets" / "Main").glob("*.txt"))}
        files = sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])
        near = lists or {one.stem: str(one) for one in files}
        hint = f" Did you mean {near.get('train') or next(iter(near.values()))}?" if near else ""
        raise ValueError(f"Expected FILE.json, FILE.json:IMAGES or VOC_FOLDER:LIST, got {text!r}.{hint}")
    if path.suffix == ".json" and not path.exists():
        raise FileNotFoundError(f"There is no COCO file at {path}.{did_you_mean(path)}")
    if not path.exists():
        raise FileNotFoundError(f"There is no folder {path}.{did_you_mean(path)}")
    return path, part


def collate(samples: list[Sample]) -> tuple[list[Tensor], list[Target]]:
    """Collate images of any sizes into lists.

    Example:
        >>> import torch
        >>> images, targets = collate([(torch.zeros(3, 4, 4), {}), (torch.zeros(3, 2, 6), {})]); len(images)
        2
    """
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


class DetectionData(TrainData):
    """The training and validation images of a detector.

    Args:
        aspect_grouping: If true, a batch has images that are all wide, or all tall (see `TrainBatches`).
        batch_size: Number of images in a step, over all processes.

    Raises:
        ValueError: If the classes differ, or there are fewer training images than one batch.

    Example:
        >>> from vig_pyg.detection.records import ImageRecord
        >>> few = DetectionDataset("few", [ImageRecord(Path("a.jpg"), 1, (30, 40))], ["cat"], [1])
        >>> DetectionData(few, few, masks=False, augmentation=Augmentation(), batch_size=1).class_names
        ['cat']
    """

    def __init__(
        self,
        train: DetectionDataset,
        val: DetectionDataset,
        *,
        masks: bool,
        augmentation: Augmentation,
        aspect_grouping: bool = False,
        batch_size: int = 2,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        val = val.with_classes(train.class_names)
        if not 1 <= batch_size <= len(train.records):
            raise ValueError(
                f"batch_size must be from 1 to {len(train.records)}, the number of training images, got {batch_size}."
            )
        super().__init__(
            train.title,
            train_set=DetectionSet(train, masks=masks, augmentation=augmentation),
            val_set=DetectionSet(val, masks=masks),
            class_names=train.class_names,
            batch_size=batch_size,
            num_workers=num_workers,
            collate=collate,
        )
        self.seed = seed
        if aspect_grouping:
            sizes = [turned_size(record.size, record.turn) for record in self.train_set.source.records]
            self.groups = [int(height > width) for height, width in sizes]

    def with_all_faults(self, error: str) -> str:
        return with_all_faults(error, [images.readable() for images in (self.train_set, self.val_set)], **ADVICE)

    def make_task(self, model: nn.Module, config: TrainConfig) -> DetectorModule:
        transform, jitter = getattr(model, "transform", None), self.train_set.augmentation.jitter
        if isinstance(transform, DetectionTransform):
            transform.resize_in_training = jitter is None
        elif jitter is not None:
            raise ValueError(
                "Large-scale jitter needs a detector with a DetectionTransform, because other transforms resize twice."
            )
        evaluator = CocoEvaluator(self.val_set.source, masks=self.val_set.masks)
        paths = {record.image_id: record.path for record in self.train_set.source.records}
        return DetectorModule(model, config, evaluator=evaluator, paths=paths)

    def write_config(self, folder: Path, model: nn.Module) -> None:
        write_config(folder, model, class_names=self.class_names, category_ids=self.train_set.source.category_ids)

    def card(self, model: nn.Module, row: dict[str, float]) -> CardText:
        shown = {name.removeprefix("val_"): score for name, score in row.items() if name.startswith("val_")}
        return CardText(
            name=type(model).__name__,
            purpose=f"An object detector{on_a(getattr(getattr(model, 'backbone', None), 'body', None))}.",
            scores={name: f"{100 * score:.2f} %" if score >= 0 else "no such object" for name, score in shown.items()},
            command="vig-pyg detect predict {} some.jpg",
            images="Images have three channels and any size; the detector resizes them as described in `config.json`.",
        )
