"""Images to train on: digits that come with scikit-learn, or a folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
from PIL import Image, UnidentifiedImageError
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from vig_pyg.preprocess import Preprocessing

_log = logging.getLogger(__name__)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures with labels, through a transform.

    Args:
        sources: Files, or pictures as arrays `(H, W)`.
        labels: Class of each.
        transform: From a picture to a tensor.
    """

    def __init__(self, sources: Sequence[str | np.ndarray], labels: Sequence[int], transform: Any) -> None:
        self.sources = sources
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        source = self.sources[i]
        image = read_image(source) if isinstance(source, str) else Image.fromarray(source)
        return self.transform(image), self.labels[i]


class ImageData(lightning.LightningDataModule):
    """What training needs of a data set: two sets of pictures, the names of the classes, the preprocessing."""

    class_names: list[str]
    train_set: Pictures
    val_set: Pictures

    def __init__(self, title: str, preprocessing: Preprocessing, *, batch_size: int, num_workers: int) -> None:
        super().__init__()
        if batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 (batch norm needs several images), got {batch_size}.")
        self.title = title
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.num_workers = num_workers

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        if len(self.train_set) < self.batch_size:
            raise ValueError(f"{len(self.train_set)} training images are less than one batch of {self.batch_size}.")
        return DataLoader(self.train_set, self.batch_size, shuffle=True, drop_last=True, num_workers=self.num_workers)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(self.val_set, self.batch_size, num_workers=self.num_workers)


class DigitsData(ImageData):
    """Handwritten digits, 1797 scans of 8 x 8 pixels (UCI, embedded in scikit-learn), a quarter held out.

    The split is stratified and always the same; it does not depend on the seed of training.

    Args:
        image_size: Side to which the scans are enlarged.
        batch_size: Images a step.
        num_workers: Processes that load; the set is small, none is best.

    Example:
        >>> len(DigitsData().val_set)
        450
    """

    def __init__(self, *, image_size: int = 16, batch_size: int = 64, num_workers: int = 0) -> None:
        preprocessing = Preprocessing(image_size=image_size, in_channels=1)
        super().__init__("digits", preprocessing, batch_size=batch_size, num_workers=num_workers)
        scans, labels = load_digits(return_X_y=True)
        pictures = np.round(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        self.class_names = [str(i) for i in range(10)]
        train, val = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=0)
        augment = v2.Compose(
            [
                v2.Lambda(preprocessing.convert),
                v2.Resize([image_size], interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
                v2.RandomAffine(
                    10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR
                ),
                v2.Lambda(preprocessing.tensor),
            ]
        )

        def subset(rows: np.ndarray, transform: Any) -> Pictures:
            return Pictures(list(pictures[rows]), labels[rows].tolist(), transform)

        self.train_set, self.val_set = subset(train, augment), subset(val, preprocessing)


class FolderData(ImageData):
    """A folder with `train/` and `val/`, each with one folder of pictures for each class.

    Args:
        root: The folder.
        image_size: Side of the crops in pixels.
        batch_size: Images a step.
        num_workers: Processes that load.
        on_broken: `"stop"` raises at the first picture that cannot be read, with its name; `"skip"` reads all of them
            before, leaves the broken ones out and logs their names.

    Raises:
        FileNotFoundError: If the folder, `train/` or `val/` does not exist.
        ValueError: If there is no picture, or the classes of `train/` and `val/` differ.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: int = 224,
        batch_size: int = 32,
        num_workers: int = 2,
        on_broken: Literal["stop", "skip"] = "stop",
    ) -> None:
        root = Path(root)
        preprocessing = Preprocessing(image_size=image_size)
        super().__init__(root.resolve().name, preprocessing, batch_size=batch_size, num_workers=num_workers)
        if on_broken not in ("stop", "skip"):
            raise ValueError(f"on_broken must be 'stop' or 'skip', got {on_broken!r}.")
        if not root.is_dir():
            raise FileNotFoundError(f"The data folder {root} does not exist.")
        train, val = (_image_folder(root / part) for part in ("train", "val"))
        if train.classes != val.classes:
            differ = sorted(set(train.classes) ^ set(val.classes))
            raise ValueError(f"{root}/train and {root}/val must have the same classes; only one has {differ}.")
        self.class_names = train.classes
        augment = v2.Compose(
            [
                v2.Lambda(preprocessing.convert),
                v2.RandomResizedCrop(image_size, scale=(0.35, 1), interpolation=v2.InterpolationMode.BICUBIC),
                v2.RandomHorizontalFlip(),
                v2.Lambda(preprocessing.tensor),
            ]
        )
        skip = on_broken == "skip"
        self.train_set, self.val_set = _pictures(train, augment, skip), _pictures(val, preprocessing, skip)


def _image_folder(folder: Path) -> ImageFolder:
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected {folder} with one folder of pictures for each class; it does not exist.")
    try:
        return ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise ValueError(f"{folder} needs one folder of pictures for each class: {error}.") from error


def _pictures(folder: ImageFolder, transform: Any, skip: bool) -> Pictures:
    samples = [(path, label) for path, label in folder.samples if not skip or _readable(path)]
    if not samples:
        raise ValueError(f"{folder.root} has no readable picture.")
    return Pictures([path for path, _ in samples], [label for _, label in samples], transform)


def _readable(path: str) -> bool:
    try:
        read_image(path)
    except ValueError as error:
        _log.warning("Left out: %s", error)
        return False
    return True


def read_image(path: str | Path) -> Image.Image:
    """A picture, fully decoded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as a picture, with its name.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no picture at {path}.")
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} cannot be read as a picture ({error}); remove it, or use --on-broken skip."
        ) from error
