"""Pictures with objects, for training and evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from vig_pyg.detection.coco import read_coco
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.masks import read_outline
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.detection.records import Annotation, DetectionDataset, ImageRecord, OnBad
from vig_pyg.detection.transform import Target
from vig_pyg.detection.turns import turn_boxes, turn_maps, turned_size
from vig_pyg.detection.voc import read_voc
from vig_pyg.engine.sampler import EvalBatches, Item, TrainBatches
from vig_pyg.engine.seeds import seed_of, seeded
from vig_pyg.image_io import UnreadableImageError

Sample = tuple[Tensor, Target]
#: Most memory of the masks of one picture: 200 objects on the largest picture that is read.
MAX_MASK_BYTES = 2**35


def open_source(source: str | Path, *, classes: list[str] | None = None, on_bad: OnBad = "drop") -> DetectionDataset:
    """Annotated pictures from one line.

    Args:
        source: `FILE.json` or `FILE.json:IMAGES` for COCO's format (see `read_coco`), `FOLDER:LIST` for Pascal VOC.
        classes: The classes that it must have; by default its own.
        on_bad: What to do with boxes without area (see `clip_box`).

    Raises:
        FileNotFoundError: If something does not exist.
        ValueError: If the line has another form, or the content is not sound.
    """
    text = str(source)
    head, _, tail = text.rpartition(":")
    path, part = (Path(head), tail) if head and not Path(text).exists() else (Path(text), None)
    if path.suffix == ".json":
        found = read_coco(path, part, on_bad=on_bad)
        return found if classes is None else found.with_classes(classes)
    if part is None:
        raise ValueError(f"Expected FILE.json, FILE.json:IMAGES or VOC_FOLDER:LIST, got {text!r}.")
    return read_voc(path, part, classes=classes, on_bad=on_bad)


def augment(augmentation: Augmentation, image: Tensor, target: Target) -> Sample:
    """A training image and its objects, changed at random; draws from torch's generator.

    Args:
        augmentation: What is changed.
        image: Bytes `(3, H, W)`.
        target: Its objects; those that are cut away are left out of the result.
    """
    size = [image.size(1), image.size(2)]
    target = {**target, "boxes": tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=size)}
    if "masks" in target:
        target["masks"] = tv_tensors.Mask(target["masks"])
    image, target = _transform(augmentation, size)(tv_tensors.Image(image), target)
    target = {key: value.as_subclass(Tensor) for key, value in target.items()}
    seen = (target["boxes"][:, 2:] - target["boxes"][:, :2]).amin(1) >= 1
    return image.as_subclass(Tensor), {k: v[seen] if k != "image_id" else v for k, v in target.items()}


def _transform(augmentation: Augmentation, size: list[int]) -> v2.Compose:
    steps: list[Any] = []
    steps += [v2.RandomHorizontalFlip()] if "h" in augmentation.flip else []
    steps += [v2.RandomVerticalFlip()] if "v" in augmentation.flip else []
    if augmentation.scale != (1.0, 1.0):
        factor = float(torch.empty(()).uniform_(*augmentation.scale))
        steps.append(v2.Resize([max(1, round(side * factor)) for side in size], antialias=True))
        steps.append(v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: 127, "others": 0}))
    if c := augmentation.color:
        steps.append(v2.ColorJitter(brightness=c, contrast=c, saturation=c))
    return v2.Compose([*steps, v2.ClampBoundingBoxes()])


class DetectionSet(Dataset[Sample]):
    """Pictures as tensors in [0, 1] with their objects.

    An item, by its number or by number and seed of its augmentation, is the picture `(3, H, W)`, upright, and its
    target: `boxes (n, 4)`, `labels (n,)`, with masks `masks (n, H, W)` of 0 and 1, and `image_id`. Crowds are left out.

    Args:
        source: The pictures.
        masks: Whether to decode outlines.
        augmentation: Changes by chance, for training.

    Raises:
        ValueError: If masks are wanted and no object has an outline, or one has none that can be used and
            `source.on_bad` is `"stop"`. An item raises it where the file is no picture or has another size than its
            annotation says, with its name.
    """

    def __init__(
        self, source: DetectionDataset, *, masks: bool = False, augmentation: Augmentation | None = None
    ) -> None:
        self.source = source.outlined() if masks else source
        self.masks = masks
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.source.records)

    def __getitem__(self, item: Item) -> Sample:
        if isinstance(item, tuple):
            with seeded(item[1]):
                return self[item[0]]
        assert item is not None  # padding is for several processes
        record = self.source.records[item]
        image = read_picture(record.path)
        h, w = turned_size(record.size, record.turn)
        if tuple(image.shape[1:]) != (h, w):
            swapped = tuple(image.shape[1:]) == (w, h)
            why = "width and height changed places" if swapped else "its boxes belong to another picture"
            raise ValueError(
                f"{record.path} has {image.size(2)} x {image.size(1)} pixels, but its annotation says {w} x {h}: {why}."
            )
        target = self._target(record)
        if self.augmentation is not None:
            image, target = augment(self.augmentation, image, target)
        return image / 255, target

    def _target(self, record: ImageRecord) -> Target:
        things = [thing for thing in record.things if not thing.crowd]
        boxes = torch.tensor([thing.box for thing in things], dtype=torch.float32).view(-1, 4)
        size = turned_size(record.size, record.turn)
        target = {
            "boxes": turn_boxes(boxes, size, record.turn),
            "labels": torch.tensor([thing.label for thing in things], dtype=torch.long),
            "image_id": torch.tensor(record.image_id),
        }
        if self.masks:
            if len(things) * size[0] * size[1] > MAX_MASK_BYTES:
                raise ValueError(
                    f"{record.path} has {len(things)} objects on {size[1]} x {size[0]} pixels: their masks need more "
                    f"than {MAX_MASK_BYTES / 2**30:.0f} GiB. Cut it into tiles."
                )
            masks = [turn_maps(decode_mask(thing, record.size), record.turn) for thing in things]
            target["masks"] = torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.uint8)
        return target


def read_picture(path: Path) -> Tensor:
    """An image file as every command of detection reads it: upright, in color, bytes `(3, H, W)`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as an image, with its name.
    """
    try:
        return read_pixels(path)
    except UnreadableImageError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error


def decode_mask(thing: Annotation, size: tuple[int, int]) -> Tensor:
    """The outline of an object as a map of 0 and 1, `(H, W)`.

    Raises:
        OutlineError: If it cannot be used (see `read_outline`).
    """
    return torch.from_numpy(read_outline(thing.segmentation, size).mask())


def collate(samples: list[Sample]) -> tuple[list[Tensor], list[Target]]:
    """Pictures of any sizes side by side."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


class DetectionData(lightning.LightningDataModule):
    """A training set and a set to measure on.

    Args:
        train: Pictures to train on.
        val: Pictures to measure on.
        masks: Whether outlines are wanted.
        augmentation: Changes of the training pictures.
        batch_size: Pictures a step.
        num_workers: Processes that load.
        seed: Of order and augmentation.

    Raises:
        ValueError: If the classes differ, or there are fewer training pictures than a batch.
    """

    def __init__(
        self,
        train: DetectionDataset,
        val: DetectionDataset,
        *,
        masks: bool,
        augmentation: Augmentation,
        batch_size: int = 2,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        val = val.with_classes(train.class_names)
        if not 1 <= batch_size <= len(train.records):
            raise ValueError(f"batch_size must be from 1 to {len(train.records)} (the pictures), got {batch_size}.")
        self.train_set = DetectionSet(train, masks=masks, augmentation=augmentation)
        self.val_set = DetectionSet(val, masks=masks)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        #: Epoch where training goes on; part of a checkpoint. Processes that read begin before Lightning says it.
        self.epoch = 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch = int(state_dict["epoch"])

    def train_dataloader(self) -> DataLoader[Sample]:
        batches = TrainBatches(len(self.train_set), batch_size=self.batch_size, seed=self.seed)
        batches.set_epoch(self.epoch)
        return self._loader(self.train_set, batches)

    def val_dataloader(self) -> DataLoader[Sample]:
        return self._loader(self.val_set, EvalBatches(len(self.val_set), batch_size=self.batch_size))

    def _loader(self, pictures: DetectionSet, batches: TrainBatches | EvalBatches) -> DataLoader[Sample]:
        return DataLoader(
            pictures,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=collate,
            # an iterator of the loader draws a seed for its workers: not from the numbers that training draws
            generator=torch.Generator().manual_seed(seed_of(self.seed)),
        )
