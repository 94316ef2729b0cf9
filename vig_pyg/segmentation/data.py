"""Images with masks for the training and evaluation of segmentation networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vig_pyg._io.numbers import counted
from vig_pyg.artifact import write_config
from vig_pyg.classification.plots import draw_confusion
from vig_pyg.data import Maps
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.data import CardText, Loader, TrainData, on_a
from vig_pyg.engine.faults import Readable, with_all_faults
from vig_pyg.engine.sampler import EvalBatches, Item
from vig_pyg.engine.seeds import seeded
from vig_pyg.segmentation.augment import augment
from vig_pyg.segmentation.config import Augmentation
from vig_pyg.segmentation.masks import ADVICE, IGNORED
from vig_pyg.segmentation.module import SegmentationModule
from vig_pyg.segmentation.preprocess import SegmentationPreprocessing, Size
from vig_pyg.segmentation.records import SegmentationDataset, read_mask, read_photo

Sample = tuple[Tensor, Tensor]


class SegmentationSet(Dataset[Sample]):
    """A data set of normalized images and their labels.

    An item is selected by its index, or by its index and the seed of its augmentation. It consists of the upright
    image, float32 `(3, H, W)`, and its labels, uint8. With augmentation, both are the same crop; otherwise the labels
    have the size of the original image.

    Raises:
        ValueError: When an item is read, if the image or the mask cannot be used; the message names the file.

    Example:
        >>> from vig_pyg.segmentation.masks import IndexMask
        >>> from vig_pyg.segmentation.records import SegmentationRecord
        >>> few = SegmentationDataset("few", [SegmentationRecord(Path("a.jpg"), IndexMask(Path("a.png")))], ["sky"])
        >>> len(SegmentationSet(few, SegmentationPreprocessing()))
        1
    """

    def __init__(
        self,
        source: SegmentationDataset,
        preprocessing: SegmentationPreprocessing,
        *,
        augmentation: Augmentation | None = None,
        crop_size: Size = (512, 512),
    ) -> None:
        self.source = source
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self.crop_size = crop_size

    def __len__(self) -> int:
        return len(self.source.records)

    def readable(self) -> Readable:
        """Return the files, and the function that reads one with its mask, for `engine.faults`."""
        return [(str(one.path), str(one.mask.path)) for one in self.source.records], self._read

    def _read(self, index: int) -> Sample:
        record = self.source.records[index]
        return read_photo(record), read_mask(record, len(self.source.class_names))

    def __getitem__(self, item: Item) -> Sample:
        if isinstance(item, tuple):
            with seeded(item[1]):
                return self[item[0]]
        if item is None:  # this is a padding item, of which no pixel is counted
            return torch.zeros(3, 1, 1), torch.full((1, 1), IGNORED, dtype=torch.uint8)
        pixels, labels = self._read(item)
        if self.augmentation is None:
            return self.preprocessing.of_pixels(pixels), labels
        size = self.preprocessing.size_of(pixels.size(1), pixels.size(2))
        pixels, labels = augment(self.augmentation, pixels, labels, size=size, crop_size=self.crop_size)
        return self.preprocessing.normalize(pixels), labels


def collate(samples: list[Sample]) -> tuple[Maps, Maps]:
    """Collate images and labels into tensors if they have one size, otherwise into lists.

    Example:
        >>> images, labels = collate([(torch.zeros(3, 4, 4), torch.zeros(4, 4))] * 2); images.shape
        torch.Size([2, 3, 4, 4])
    """
    images, labels = ([sample[i] for sample in samples] for i in (0, 1))
    return _collated(images), _collated(labels)


def _collated(parts: list[Tensor]) -> Maps:
    return torch.stack(parts) if len({part.shape for part in parts}) == 1 else parts


class SegmentationData(TrainData):
    """The training and validation images of a segmentation network.

    Args:
        crop_size: Height and width of the training crops.
        class_counts: Number of training pixels of each class, for class weights.
        batch_size: Number of images in a training step, over all processes; validation processes whole images one by
            one.

    Raises:
        ValueError: If the classes differ, or there are fewer training images than one batch.

    Example:
        >>> from vig_pyg.segmentation.masks import IndexMask
        >>> from vig_pyg.segmentation.records import SegmentationRecord
        >>> few = SegmentationDataset("few", [SegmentationRecord(Path("a.jpg"), IndexMask(Path("a.png")))], ["sky"])
        >>> plain, options = SegmentationPreprocessing(), {"augmentation": Augmentation(), "crop_size": (64, 64)}
        >>> SegmentationData(few, few, preprocessing=plain, **options, batch_size=1).class_names
        ['sky']
    """

    def __init__(
        self,
        train: SegmentationDataset,
        val: SegmentationDataset,
        *,
        preprocessing: SegmentationPreprocessing,
        augmentation: Augmentation,
        crop_size: Size,
        class_counts: Tensor | None = None,
        batch_size: int = 32,
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
            train_set=SegmentationSet(train, preprocessing, augmentation=augmentation, crop_size=crop_size),
            val_set=SegmentationSet(val, preprocessing),
            class_names=train.class_names,
            batch_size=batch_size,
            num_workers=num_workers,
            collate=collate,
        )
        self.preprocessing = preprocessing
        self.class_counts = class_counts
        self.seed = seed

    def val_dataloader(self) -> Loader:
        """Return the loader of single images: a training batch of whole images may need more memory than its crops."""
        rank, world, _ = self._processes()
        return self._loader(self.val_set, EvalBatches(len(self.val_set), batch_size=1, rank=rank, world=world))

    def with_all_faults(self, error: str) -> str:
        sets = [images.readable() for images in (self.train_set, self.val_set)]
        return with_all_faults(error, sets, one=ADVICE[0], several=ADVICE[1])

    def make_task(self, model: nn.Module, config: TrainConfig) -> SegmentationModule:
        return SegmentationModule(model, config, class_names=self.class_names, class_counts=self.class_counts)

    def write_config(self, folder: Path, model: nn.Module) -> None:
        write_config(folder, model, class_names=self.class_names, preprocessing=self.preprocessing)

    def card(self, model: nn.Module, row: dict[str, float]) -> CardText:
        shown = {name.removeprefix("val_"): score for name, score in row.items() if name.startswith("val_")}
        size = self.preprocessing.image_size
        resized = "are not resized" if size is None else f"are resized to a short side of {size} pixels"
        return CardText(
            name=type(model).__name__,
            purpose=f"A network for semantic segmentation{on_a(getattr(model, 'body', None))}, with "
            f"{counted(len(self.class_names), 'classes')}.",
            scores={name.replace("_", " "): f"{100 * score:.2f} %" for name, score in shown.items()},
            command="vig-pyg segment predict {} some.jpg",
            images=f"Images have three channels and any size; they {resized}, and a label is given for each pixel.",
        )

    def figures(self, model: nn.Module, counts: Any) -> dict[str, Any]:  # noqa: ARG002
        if counts is None:
            return {}
        return {"confusion.png": lambda: draw_confusion(counts, self.class_names, unit="pixels").savefig}
