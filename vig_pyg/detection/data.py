"""Pictures with objects, for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from vig_pyg.detection.coco import read_coco
from vig_pyg.detection.records import Annotated, OnBad, Record, Thing
from vig_pyg.detection.transform import Target
from vig_pyg.detection.voc import read_voc

Sample = tuple[Tensor, Target]
#: Number of a picture and seed of its augmentation.
Item = tuple[int, int]


def open_source(source: str | Path, *, classes: list[str] | None = None, on_bad: OnBad = "drop") -> Annotated:
    """Annotated pictures from one line.

    Args:
        source: `FILE.json` or `FILE.json:IMAGES` for COCO's format (see `read_coco`), `FOLDER:LIST` for Pascal VOC.
        classes: The classes that it must have; by default its own.
        on_bad: What to do with boxes without area (see `sound_box`).

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


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes of a training picture that keep its size.

    Args:
        flip: Which mirror images there are: `"none"`, `"h"` (left and right), `"hv"` (up and down too).
        scale: Range of the factor by which a picture is enlarged or shrunk before it is cut or filled up to its size.
        colour: Strength of changes of brightness, contrast and saturation; 0 for none.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> Augmentation(flip="hv").scale
        (1.0, 1.0)
    """

    flip: str = "h"
    scale: tuple[float, float] = (1.0, 1.0)
    colour: float = 0.0

    def __post_init__(self) -> None:
        if self.flip not in ("none", "h", "hv"):
            raise ValueError(f"flip must be 'none', 'h' or 'hv', got {self.flip!r}.")
        if not 0 < self.scale[0] <= self.scale[1] or not 0 <= self.colour < 1:
            raise ValueError(
                f"Need 0 < scale[0] <= scale[1] and 0 <= colour < 1, got scale={self.scale}, colour={self.colour}."
            )

    def __call__(self, image: Tensor, target: Target) -> Sample:
        """A picture `(3, H, W)` of bytes and its objects, changed by chance."""
        size = [image.size(1), image.size(2)]
        target = {**target, "boxes": tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=size)}
        if "masks" in target:
            target["masks"] = tv_tensors.Mask(target["masks"])
        image, target = self._transform(size)(tv_tensors.Image(image), target)
        target = {key: value.as_subclass(Tensor) for key, value in target.items()}
        seen = (target["boxes"][:, 2:] - target["boxes"][:, :2]).amin(1) >= 1
        return image.as_subclass(Tensor), {k: v[seen] if k != "image_id" else v for k, v in target.items()}

    def _transform(self, size: list[int]) -> v2.Compose:
        steps: list[Any] = []
        steps += [v2.RandomHorizontalFlip()] if "h" in self.flip else []
        steps += [v2.RandomVerticalFlip()] if "v" in self.flip else []
        if self.scale != (1.0, 1.0):
            factor = float(torch.empty(()).uniform_(*self.scale))
            steps.append(v2.Resize([max(1, round(side * factor)) for side in size], antialias=True))
            steps.append(v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: 127, "others": 0}))
        if self.colour:
            c = self.colour
            steps.append(v2.ColorJitter(brightness=c, contrast=c, saturation=c))
        return v2.Compose([*steps, v2.ClampBoundingBoxes()])


class DetectionSet(Dataset[Sample]):
    """Pictures as tensors in [0, 1] with their objects.

    An item, by its number or by number and seed of its augmentation, is the picture `(3, H, W)` and its target:
    `boxes (n, 4)`, `labels (n,)`, with masks `masks (n, H, W)` of 0 and 1, and `image_id`. Crowds are left out.

    Args:
        source: The pictures.
        masks: Whether to decode outlines.
        augmentation: Changes by chance, for training.

    Raises:
        ValueError: If masks are wanted and an object has no outline. An item raises it where the file is no picture
            or has another size than its annotation says, with its name.
    """

    def __init__(self, source: Annotated, *, masks: bool = False, augmentation: Augmentation | None = None) -> None:
        if masks and not source.has_masks:
            raise ValueError(f"{source.title} has objects without outlines: Mask R-CNN cannot learn from it.")
        self.source = source
        self.masks = masks
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.source.records)

    def __getitem__(self, item: int | Item) -> Sample:
        i, seed = (item, None) if isinstance(item, int) else item
        record = self.source.records[i]
        image = read_picture(record.path)
        if tuple(image.shape[1:]) != record.size:
            h, w = record.size
            raise ValueError(
                f"{record.path} has {image.size(2)} x {image.size(1)} pixels, but its annotation says {w} x {h}: "
                "its boxes belong to another picture."
            )
        target = self._target(record)
        if self.augmentation is not None:
            with torch.random.fork_rng(devices=[]):
                if seed is not None:
                    torch.manual_seed(seed)
                image, target = self.augmentation(image, target)
        return image / 255, target

    def _target(self, record: Record) -> Target:
        things = [thing for thing in record.things if not thing.crowd]
        target = {
            "boxes": torch.tensor([thing.box for thing in things], dtype=torch.float32).view(-1, 4),
            "labels": torch.tensor([thing.label for thing in things], dtype=torch.long),
            "image_id": torch.tensor(record.image_id),
        }
        if self.masks:
            masks = [decode_mask(thing, record.size) for thing in things]
            target["masks"] = torch.stack(masks) if masks else torch.zeros(0, *record.size, dtype=torch.uint8)
        return target


def read_picture(path: Path) -> Tensor:
    """A picture in colour, bytes `(3, H, W)`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as a picture, with its name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture at {path}.")
    try:
        with Image.open(path) as image:
            return v2.functional.pil_to_tensor(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture ({error}).") from error


def decode_mask(thing: Thing, size: tuple[int, int]) -> Tensor:
    """The outline of an object as a map of 0 and 1, `(H, W)`."""
    return torch.from_numpy(np.asarray(coco_mask.decode(run_lengths(thing.segmentation, size)), dtype=np.uint8))


def run_lengths(segmentation: Any, size: tuple[int, int]) -> Any:
    """COCO's compressed run lengths of polygons or of plain run lengths."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, *size)
    return segmentation


class Shuffled(Sampler[Item]):
    """The pictures in an order, and with seeds for their augmentation, that depend on the epoch and one seed alone.

    So a run that was interrupted goes on as if it had not been, with any number of workers.

    Args:
        count: Number of pictures.
        seed: The seed.
        epoch: The first epoch.

    Example:
        >>> sorted(i for i, _ in Shuffled(4, seed=0))
        [0, 1, 2, 3]
    """

    def __init__(self, count: int, *, seed: int, epoch: int = 0) -> None:
        self.count = count
        self.seed = seed
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Item]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        seeds = torch.randint(2**31, (self.count,), generator=generator).tolist()
        return iter(list(zip(order, seeds, strict=True)))


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
        train: Annotated,
        val: Annotated,
        *,
        masks: bool,
        augmentation: Augmentation,
        batch_size: int = 2,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        val.with_classes(train.class_names)
        if not 1 <= batch_size <= len(train.records):
            raise ValueError(f"batch_size must be from 1 to {len(train.records)} (the pictures), got {batch_size}.")
        self.train_set = DetectionSet(train, masks=masks, augmentation=augmentation)
        self.val_set = DetectionSet(val, masks=masks)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Sample]:
        # Lightning asks for the first batch before it tells the sampler the epoch
        epoch = 0
        if self.trainer is not None:
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            epoch = progress.processed
        sampler = Shuffled(len(self.train_set), seed=self.seed, epoch=epoch)
        return self._loader(self.train_set, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Sample]:
        return self._loader(self.val_set)

    def _loader(self, pictures: DetectionSet, **how: Any) -> DataLoader[Sample]:
        return DataLoader(pictures, self.batch_size, num_workers=self.num_workers, collate_fn=collate, **how)
