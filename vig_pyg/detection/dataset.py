"""A data set of images with their objects."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vig_pyg.detection.augment import Sample, augment
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.copy_paste import paste_objects
from vig_pyg.detection.masks import read_outline
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.detection.records import Annotation, DetectionDataset, ImageRecord
from vig_pyg.detection.transform import Target
from vig_pyg.detection.turns import turn_boxes, turn_maps, turned_size
from vig_pyg.engine.faults import Readable
from vig_pyg.engine.sampler import Item
from vig_pyg.engine.seeds import seeded
from vig_pyg.image_io import UnreadableImageError

#: Largest size of the masks of one image in bytes: 200 objects in the largest supported image.
MAX_MASK_BYTES = 2**35
#: What to do about one image that cannot be read, and about several, at the end of a message.
ADVICE = {
    "one": "; replace it, or remove its annotations",
    "several": "; replace them, or remove their annotations",
}


class DetectionSet(Dataset[Sample]):
    """A data set of images as tensors in [0, 1], with their objects.

    An item is selected by its index, or by its index and the seed of its augmentation. It consists of the upright image
    `(3, H, W)` and its target: `boxes (n, 4)`, `labels (n,)`, `image_id`, and with `masks` also `masks (n, H, W)` of
    0 and 1. Crowds are omitted.

    Args:
        augmentation: Random changes of the images, for training; with `copy_paste`, outlines are needed too, and an
            item may contain objects of other images.

    Shapes: images `(3, H, W)`, boxes `(n, 4)`, labels `(n,)`, masks `(n, H, W)`.

    Raises:
        ValueError: If outlines are needed and no object has an outline, or if an outline is missing or unusable and
            `source.on_bad` is `"stop"`. The same error is raised when an item is read, if the file is not an image, or
            if its size is not that in the annotation; the message names the file.

    Example:
        >>> from pathlib import Path
        >>> len(DetectionSet(DetectionDataset("few", [ImageRecord(Path("a.jpg"), 1, (30, 40))], ["cat"], [1])))
        1
    """

    def __init__(
        self, source: DetectionDataset, *, masks: bool = False, augmentation: Augmentation | None = None
    ) -> None:
        self.masks = masks
        self.augmentation = augmentation
        #: Probability that objects of another image are pasted into an image.
        self.copy_paste = 0.0 if augmentation is None else augmentation.copy_paste
        self.source = source.outlined() if masks or self.copy_paste else source

    def __len__(self) -> int:
        return len(self.source.records)

    def __getitem__(self, item: Item) -> Sample:
        if isinstance(item, tuple):
            with seeded(item[1]):
                return self[item[0]]
        if item is None:  # this is a padding item, which fills up the batch of a process
            return torch.zeros(3, 1, 1), {}
        if self.copy_paste and float(torch.rand(())) < self.copy_paste:
            other = int(torch.randint(len(self), ()))
            image, target = paste_objects(*self._augmented(item, masks=True), *self._augmented(other, masks=True))
            if not self.masks:
                del target["masks"]
        else:
            image, target = self._augmented(item, masks=self.masks)
        return image / 255, target

    def _augmented(self, index: int, *, masks: bool) -> Sample:
        """Return the pixels and the objects of an image, augmented, but without pasted objects."""
        record = self.source.records[index]
        image = self.pixels(index)
        target = self._target(record, masks=masks)
        return (image, target) if self.augmentation is None else augment(self.augmentation, image, target)

    def pixels(self, index: int) -> Tensor:
        """Return the pixels of an image without augmentation.

        Raises:
            ValueError: If the file is not an image, or has another size than in the annotation.
            FileNotFoundError: If the file does not exist.
        """
        record = self.source.records[index]
        try:
            image = read_pixels(record.path)
        except UnreadableImageError as error:
            raise ValueError(f"{record.path} cannot be read: {error}.") from error
        h, w = turned_size(record.size, record.turn)
        if tuple(image.shape[1:]) != (h, w):
            swapped = tuple(image.shape[1:]) == (w, h)
            why = "width and height are exchanged" if swapped else "its boxes belong to another image"
            raise ValueError(
                f"{record.path} has {image.size(2)} x {image.size(1)} pixels, but its annotation says {w} x {h}: {why}."
            )
        return image

    def readable(self) -> Readable:
        """Return the files, and the function that reads one, for `engine.faults`."""
        return [str(record.path) for record in self.source.records], self.pixels

    def _target(self, record: ImageRecord, *, masks: bool) -> Target:
        things = [thing for thing in record.annotations if not thing.crowd]
        boxes = torch.tensor([thing.box for thing in things], dtype=torch.float32).view(-1, 4)
        size = turned_size(record.size, record.turn)
        target = {
            "boxes": turn_boxes(boxes, size, record.turn),
            "labels": torch.tensor([thing.label for thing in things], dtype=torch.long),
            "image_id": torch.tensor(record.image_id),
        }
        if masks:
            if len(things) * size[0] * size[1] > MAX_MASK_BYTES:
                raise ValueError(
                    f"{record.path} has {len(things)} objects on {size[1]} x {size[0]} pixels: their masks need more "
                    f"than {MAX_MASK_BYTES / 2**30:.0f} GiB. Cut the image into tiles."
                )
            maps = [turn_maps(decode_mask(thing, record.size), record.turn) for thing in things]
            target["masks"] = torch.stack(maps) if maps else torch.zeros(0, *size, dtype=torch.uint8)
        return target


def decode_mask(thing: Annotation, size: tuple[int, int]) -> Tensor:
    """Decode the outline of an object to a mask of 0 and 1, `(H, W)`.

    Raises:
        OutlineError: If the outline cannot be used (see `read_outline`).

    Example:
        >>> square = Annotation(box=(1, 1, 3, 3), label=1, segmentation=[1, 1, 3, 1, 3, 3, 1, 3])
        >>> int(decode_mask(square, (4, 5)).sum())
        4
    """
    return torch.from_numpy(read_outline(thing.segmentation, size).mask())
