"""Images of the data sets that `vig_pyg.classification.readers` reads: `wds/...`, `hfds/...`, `torch/...`."""

from __future__ import annotations

import logging

from vig_pyg._io.text import terminal_text
from vig_pyg.classification.config import Augmentation
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.readers import Collection, ReaderOptions, open_collection
from vig_pyg.classification.readers.labeled import class_names_of
from vig_pyg.classification.sources.files import OnBad, readable
from vig_pyg.classification.splits import Split, divided
from vig_pyg.image_io._class_folders import some
from vig_pyg.preprocess import Preprocessing

_log = logging.getLogger(__name__)


class CollectionData(ImageData):
    """Images of a data set in the format of another library, by timm's prefix and name.

    Every image has an index, and `read_image` reads it like a file. Therefore a resumed training continues exactly, and
    the results equal those for the same images in a folder. Data without parts is divided like a folder.

    Args:
        data: Prefix and name: `"wds/FOLDER"` (shards of WebDataset), `"hfds/NAME"` (a folder, or a name on the Hugging
            Face hub), or `"torch/NAME"` (a data set of torchvision).
        root: Folder of torchvision's files.
        train_split: Name of the training part; by default `train`.
        val_split: Name of the validation part; by default `val`, `valid` or `validation`, or `test` if there is none of
            these.
        input_key: File extension or column of the images, if there are several (see the readers).
        target_key: File extension, JSON key or column of the labels.
        download: If false, data that is not on this computer raises an error.
        image_size: Side length of the crops in pixels.
        in_channels: Number of channels; images are converted (see `Preprocessing`).
        crop_pct: Side length of the crop divided by the resized short side (see `Preprocessing`).
        batch_size: Number of images in a step.
        num_workers: Number of data loading processes.
        augmentation: Random changes of the training images; by default random crops and flips.
        on_bad: `"stop"` raises an error for the first sample that is not as expected; `"drop"` omits such samples.
        cache: Keep the decoded images in memory (see `ImageData`).

    Raises:
        OSError: If the data does not exist, or cannot be downloaded.
        ValueError: If the data is not as expected or has no training part, or if a class has no training images.
        ImportError: If a package is missing; the message names the extra.

    Example:
        >>> CollectionData("hfds/uoft-cs/cifar10", image_size=32).class_names[:2]  # doctest: +SKIP
        ['airplane', 'automobile']
    """

    def __init__(
        self,
        data: str,
        *,
        root: str = "data",
        train_split: str | None = None,
        val_split: str | None = None,
        input_key: str | None = None,
        target_key: str | None = None,
        download: bool = True,
        image_size: int = 224,
        in_channels: int = 3,
        crop_pct: float = 1.0,
        batch_size: int = 32,
        num_workers: int = 2,
        augmentation: Augmentation | None = None,
        on_bad: OnBad = "stop",
        cache: int | None = None,
    ) -> None:
        if on_bad not in ("stop", "drop"):
            raise ValueError(f"on_bad must be 'stop' or 'drop', got {on_bad!r}.")
        options = ReaderOptions(
            root=root,
            input_key=input_key,
            target_key=target_key,
            splits=tuple(split for split in (train_split, val_split) if split is not None),
            on_bad=on_bad,
            download=download,
        )
        collection = open_collection(data, options)
        preprocessing = Preprocessing(image_size=image_size, in_channels=in_channels, crop_pct=crop_pct)
        split = readable(_split(data, collection, train_split, val_split), preprocessing, data, on_bad)
        super().__init__(
            collection.title,
            train=split.train,
            val=split.val,
            class_names=split.class_names,
            preprocessing=preprocessing,
            augmentation=augmentation or Augmentation(),
            batch_size=batch_size,
            num_workers=num_workers,
            cache=cache,
        )
        self.left_out = split.left_out


def _split(data: str, collection: Collection, train_split: str | None, val_split: str | None) -> Split:
    """Read the training and validation images, or divide the images if there is only one part."""
    whole = "" if "" in collection.parts and train_split is None else collection.choose("train", train_split)
    if whole is None:
        raise ValueError(f"{data} has no part for training; it has {some(map(repr, collection.parts))}: name one.")
    held = None if whole == "" and val_split is None else collection.choose("val", val_split)
    if held == whole:
        raise ValueError(f"{data} would be trained and validated on the same part, {held!r}: name two parts.")
    parts = [collection.parts[name]() for name in (whole, held) if name is not None]
    if not parts[0].labels:
        raise ValueError(f"{data} has no labeled images for training.")
    class_names, number = class_names_of(collection, parts)
    samples = [(part.images, [number[label] for label in part.labels]) for part in parts]
    trained = set(samples[0][1])
    absent = [name for i, name in enumerate(class_names) if i not in trained]
    if absent:
        _log.warning(
            "%s has no training images of %d of %d classes (%s).",
            terminal_text(data), len(absent), len(class_names), some(absent),
        )  # fmt: skip
    if len(samples) == 1:
        return divided(*samples[0], class_names, data)
    return Split(class_names, *samples)
