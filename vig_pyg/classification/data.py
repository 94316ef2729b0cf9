"""Labeled images and their data loaders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vig_pyg._image_values import Statistic
from vig_pyg._io.numbers import counted
from vig_pyg._io.output import Content
from vig_pyg.artifact import write_config
from vig_pyg.classification._cache import CroppedBefore, smaller
from vig_pyg.classification.augment import AugmentedImage
from vig_pyg.classification.config import Augmentation, ClassificationConfig
from vig_pyg.classification.dataset import ADVICE, ImageDataset
from vig_pyg.classification.distillation import check_student, open_teacher
from vig_pyg.classification.loss_note import loss_note
from vig_pyg.classification.module import Classifier
from vig_pyg.classification.plots import draw_confusion
from vig_pyg.config import ModelConfig, variant_name
from vig_pyg.config_schema import check_names, check_size, read_preprocessing
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.data import CardText, TrainData
from vig_pyg.engine.faults import with_all_faults
from vig_pyg.explain import draw_graph
from vig_pyg.image_io import StoredImage
from vig_pyg.models import VisionGNN
from vig_pyg.preprocess import Preprocessing

_log = logging.getLogger(__name__)


class ImageData(TrainData):
    """Training and validation images, the class names, and the preprocessing.

    Args:
        title: Name of the data.
        train: Sources and labels of the training images.
        val: Sources and labels of the validation images.
        class_names: One name for each label.
        preprocessing: The preprocessing of an image; in training, the augmentation replaces it.
        augmentation: Random changes of the training images.
        batch_size: Number of images in a step, over all processes.
        num_workers: Number of data loading processes for each training process.
        cache: If given, all decoded images are kept in memory; training images are first reduced to a short side of at
            most this number of pixels.

    Raises:
        ValueError: If `batch_size` is below 2, or `cache` is smaller than the image size.

    Example:
        >>> images, labels = [np.zeros((8, 8, 3), np.uint8)] * 4, [0, 1, 0, 1]
        >>> data = ImageData(
        ...     "black", train=(images, labels), val=(images, labels), class_names=["cat", "dog"],
        ...     preprocessing=Preprocessing(image_size=8), augmentation=Augmentation(), batch_size=2, num_workers=0,
        ... )
        >>> len(data.train_set), data.val_set[0][0].shape
        (4, torch.Size([3, 8, 8]))
    """

    def __init__(
        self,
        title: str,
        *,
        train: tuple[Sequence[str | StoredImage | np.ndarray], Sequence[int]],
        val: tuple[Sequence[str | StoredImage | np.ndarray], Sequence[int]],
        class_names: list[str],
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        batch_size: int,
        num_workers: int,
        cache: int | None = None,
    ) -> None:
        if batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 (batch norm needs several images), got {batch_size}.")
        if cache is not None and cache < preprocessing.image_size:
            raise ValueError(
                f"cache={cache} pixels is less than image_size={preprocessing.image_size}, so cached images would be "
                "too small: pass a larger cache, or do not set it."
            )
        super().__init__(
            title,
            train_set=ImageDataset(*train, AugmentedImage(augmentation, preprocessing)),
            val_set=ImageDataset(*val, preprocessing),
            class_names=class_names,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        self.preprocessing, self.augmentation, self.cache = preprocessing, augmentation, cache
        self._held = False

    def normalize(self, mean: Statistic, std: Statistic) -> None:
        """Change the normalization of all images, including cached ones, which are stored before normalization.

        Args:
            mean: Mean, one number for all channels or one for each.
            std: Standard deviation, in the form of `mean`.

        Raises:
            ValueError: If there are numbers for another number of channels.
        """
        self.preprocessing = made = replace(self.preprocessing, mean=mean, std=std)
        self.train_set.transform = AugmentedImage(self.augmentation, made)
        self.val_set.transform = CroppedBefore(made) if self._held else made

    def setup(self, stage: str) -> None:
        """Fill the cache; later calls have no effect.

        Args:
            stage: Stage of the trainer; only `"fit"` fills the cache.
        """
        if self.cache is None or stage != "fit" or self._held:
            return
        self._held = True
        # images are converted first, so that caching does not change the result
        self.train_set.hold(lambda image: smaller(self.preprocessing.convert(image), self.cache or 0))
        self.val_set.hold(self.preprocessing.crop)  # the whole preprocessing is applied, so scores do not change
        self.val_set.transform = CroppedBefore(self.preprocessing)

    def make_task(self, model: nn.Module, config: TrainConfig) -> Classifier:
        config = checked(config)
        self.repeats = config.repeats
        counts = torch.bincount(torch.tensor(self.train_set.labels), minlength=len(self.class_names))
        teacher = open_teacher(config, self.class_names, self.preprocessing)
        return Classifier(model, config, num_classes=len(self.class_names), class_counts=counts, teacher=teacher)

    def check(self, model: nn.Module, config: TrainConfig, *, world: int) -> None:
        if len(self.class_names) < 2:
            raise ValueError(
                f"Training needs images of at least two different classes, got only {', '.join(self.class_names)}."
            )
        config = checked(config)
        check_student(model, config)
        self.seed, self.repeats = config.seed, config.repeats
        super().check(model, config, world=world)
        each = self.batch_size // (config.accumulate * world)
        if (config.mixup or config.cutmix) and each % 2:
            raise ValueError(f"mixup and cutmix mix pairs: each process needs an even number of images, got {each}.")
        check_names(self.class_names, "class_names")
        read_preprocessing(asdict(self.preprocessing), "preprocessing")
        self._compare_normalization(getattr(model, "preprocessing", None))
        made = getattr(model, "config", None)
        if isinstance(made, ModelConfig):
            check_size(made, self.preprocessing.image_size, "the run")
            classes, channels = len(self.class_names), self.preprocessing.in_channels
            if (made.num_classes, made.in_channels) != (classes, channels):
                raise ValueError(
                    f"{self.title} has {classes} classes and images with {channels} channels, but the network has "
                    f"{made.num_classes} classes and {made.in_channels} input channels: change one of them."
                )

    def _compare_normalization(self, trained: Preprocessing | None) -> None:
        """Log a warning if the weights of a network were trained with pixels of another normalization."""
        ours = self.preprocessing
        if trained is not None and (trained.mean, trained.std) != (ours.mean, ours.std):
            _log.warning(
                "The weights of the network were trained with the mean %s and the standard deviation %s, but images "
                "are normalized by %s and %s: data.normalize(...) changes this.",
                trained.mean, trained.std, ours.mean, ours.std,
            )  # fmt: skip

    def write_config(self, folder: Path, model: nn.Module) -> None:
        write_config(folder, model, class_names=self.class_names, preprocessing=self.preprocessing)

    def card(self, model: nn.Module, row: dict[str, float]) -> CardText:
        names = {"top-1 accuracy": "val_accuracy", "top-5 accuracy": "val_top5"}
        scores = {name: f"{100 * row[key]:.2f} %" for name, key in names.items() if key in row}
        p = self.preprocessing
        return CardText(
            name=name_of(model),
            purpose="An image classifier.",
            scores={**scores, "cross entropy": f"{row['val_loss']:.4f}"},
            command="vig-pyg predict {} some.jpg",
            images=f"Images have {counted(p.in_channels, 'channels')}, {p.image_size} x {p.image_size} pixels, mean "
            f"{p.mean} and standard deviation {p.std}; see `config.json` for all values.",
        )

    def loss_note(self, config: TrainConfig) -> str:
        return loss_note(checked(config), len(self.class_names))

    def with_all_faults(self, error: str) -> str:
        sets = [
            (["" if isinstance(one, np.ndarray) else str(one) for one in images.sources],
             partial(images.read, make=self.preprocessing.convert))
            for images in (self.train_set, self.val_set)
        ]  # fmt: skip
        return with_all_faults(error, sets, one=ADVICE, several=ADVICE.replace(" it", " them"))

    def figures(self, model: nn.Module, counts: Any) -> dict[str, Callable[[], Content]]:
        def graph() -> Content:
            image, _ = self.val_set[0]
            with torch.no_grad():
                graphs = model.eval().graphs(image[None])  # type: ignore[operator]
            return draw_graph(self.preprocessing.restore(image), graphs).savefig

        parts: dict[str, Callable[[], Content]] = {
            "confusion.png": lambda: draw_confusion(counts, self.class_names).savefig
        }
        return parts | ({"graph.png": graph} if isinstance(model, VisionGNN) else {})


def checked(config: TrainConfig) -> ClassificationConfig:
    """Return the configuration after checking that it is a `ClassificationConfig`.

    Raises:
        TypeError: If it has another type.
    """
    if not isinstance(config, ClassificationConfig):
        raise TypeError(f"A classifier is trained with a ClassificationConfig, got {type(config).__name__}.")
    return config


def name_of(model: nn.Module) -> str:
    """Return the variant name of a network, or the name of its class if it is not a variant.

    Example:
        >>> from vig_pyg import vig_micro
        >>> name_of(vig_micro())
        'vig_micro'
    """
    config = getattr(model, "config", None)
    return (isinstance(config, ModelConfig) and variant_name(config)) or type(model).__qualname__
