"""Loading of a classifier with its preprocessing and class names."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vig_pyg._io.launcher import as_started
from vig_pyg._io.names import choose
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._predictor import Predictor
from vig_pyg.builders import create_model, list_models
from vig_pyg.checkpoints.load import identify_variant
from vig_pyg.config import PyramidViGConfig, variant_name
from vig_pyg.image_io import AnyImage, as_image, as_list
from vig_pyg.interchange import default_preprocessing
from vig_pyg.models import VisionGNN
from vig_pyg.models.hub import find_folder, is_hub_name
from vig_pyg.models.local_folder import file_instead, is_path, missing_folder
from vig_pyg.models.read_model import read_model
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights import TABLE, convert, fetch, get_weights, load_weights, unwrap_state_dict
from vig_pyg.weights._family_files import PAGES
from vig_pyg.weights.table import IMAGENET, imagenet_categories

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image.

    Args:
        path: The file, or `None` if the image did not come from a file.
        classes: Class indices, the most probable first.
        names: Names of these classes.
        probabilities: Softmax probabilities of these classes, from 0 to 1.

    Example:
        >>> Prediction(Path("some.jpg"), classes=[1, 0], names=["dog", "cat"], probabilities=[0.9, 0.1]).names[0]
        'dog'
    """

    path: Path | None
    classes: list[int]
    names: list[str]
    probabilities: list[float]


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageClassifier(Predictor):
    """A trained classifier that can be called on images.

    Args:
        name: The source from which the classifier was loaded, for messages.
        model: The model, in evaluation mode.
        class_names: One name for each logit.
        preprocessing: The preprocessing from an image to the input of the model.

    Raises:
        ValueError: In a call, if there is no image, or `topk` is below 1.

    Example:
        >>> options = {"class_names": ["cat", "dog"], "preprocessing": Preprocessing(image_size=32)}
        >>> classifier = ImageClassifier(name="mine", model=create_model("vig_micro", num_classes=2), **options)
        >>> sorted(classifier(torch.rand(3, 40, 50)).names)
        ['cat', 'dog']
    """

    name: str
    model: VisionGNN[Any]
    class_names: list[str]
    preprocessing: Preprocessing

    @property
    def classes(self) -> list[str]:
        """Names of the classes, one for each logit."""
        return self.class_names

    def _size(self) -> str:
        return f"image_size={self.preprocessing.image_size}"

    def __call__(self, images: AnyImage | Sequence[AnyImage], *, topk: int = 3) -> Any:
        """Predict the most probable classes of an image, or of each of several images.

        Args:
            images: An image (see `vig_pyg.image_io.as_image`), a list of images, or a tensor `(B, C, H, W)` of pixels
                that are not normalized.
            topk: Number of classes for each image; all classes if there are fewer.

        Returns:
            A `Prediction`, or a list of predictions for several images.

        Raises:
            ValueError: If there is no image, one is not a valid image, or `topk` is below 1.
            FileNotFoundError: If a file does not exist.
        """
        several, parts = as_list(images)
        if topk < 1 or not parts:
            raise ValueError(f"Expected at least one image and topk >= 1, got {len(parts)} images and topk={topk}.")
        batch = torch.stack([self.preprocessing(as_image(part)) for part in parts])  # (B, C, S, S)
        self.model.eval()
        with torch.inference_mode():
            logits = self.model(batch.to(self.model.first_parameter.device))
            shares, classes = logits.softmax(1).topk(min(topk, len(self.class_names)))
        paths = [Path(part) if isinstance(part, str | os.PathLike) else None for part in parts]
        found = [
            Prediction(path, which, [self.class_names[c] for c in which], share)
            for path, which, share in zip(paths, classes.tolist(), shares.tolist(), strict=True)
        ]
        return found if several else found[0]


def load_classifier(
    source: str | Path,
    *,
    weights: str | Path | None = None,
    position: str | None = None,
    image_size: int | None = None,
    progress: bool = True,
) -> ImageClassifier:
    """Load a classifier.

    Args:
        source: A run folder or a folder of `save_pretrained`, or one of these names: a model (`"pvig_small"`, which
            loads the official weights), published weights (`"pvig_small:imagenet1k:mmpretrain"`), or a model on the
            Hugging Face hub (`"somebody/my-vig"`).
        weights: A file or URL with the weights of a model that is given by its name, instead of the published ones.
        position: Position mode of a Pyramid ViG, `"official"` or `"grid"`, instead of that of the model.
        image_size: Side length of the crop in pixels, instead of that of the model; the short side before the crop is
            scaled in proportion.
        progress: If true, a download shows a progress bar.

    Raises:
        FileNotFoundError: If there is no such folder, file or model.
        ConnectionError: If weights cannot be downloaded; the message explains what to do.
        ValueError: If the weights do not fit, or options contradict each other.
        TypeError: If the model has no position mode.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg import pvig_micro
        >>> with TemporaryDirectory() as folder:
        ...     _ = pvig_micro(num_classes=2, image_size=32).save_pretrained(folder)
        ...     load_classifier(folder, position="grid").model.config.position
        'grid'
    """
    name = str(source)
    if Path(source).is_dir() or is_hub_name(name):
        if weights is not None:
            raise ValueError(f"{source} has its own weights: pass the name of a model to use other weights.")
        found = _from_folder(find_folder(name), name)
    else:
        found = _from_name(name, weights, progress, position)
    if position is not None:
        found = replace(found, model=_with_position(found.model, position))
    if image_size is not None:
        found = replace(found, preprocessing=replace(found.preprocessing, image_size=image_size))
    return found


def _from_folder(folder: Path, name: str) -> ImageClassifier:
    model: VisionGNN[Any] = read_model(VisionGNN, folder).float()  # images are float32
    if model.config.num_classes == 0:
        raise ValueError(f"The model in {name} has no classifier (num_classes is 0), so it cannot predict classes.")
    names = model.class_names or _names(model)
    preprocessing = model.preprocessing or _usual(variant_name(model.config) or "", model)
    return ImageClassifier(name=name, model=model, class_names=names, preprocessing=preprocessing)


def check_name(name: str) -> None:
    """Raise an error if a name is neither that of a folder nor of a model of this library, without asking the hub.

    Args:
        name: The source of `load_classifier`.

    Raises:
        FileNotFoundError: If there is nothing of this name; the message suggests the nearest one.
        ValueError: If it is a file.

    Example:
        >>> check_name("pvig_small:imagenet1k")
        >>> check_name("/nowhere/mine")
        Traceback (most recent call last):
        FileNotFoundError: There is no folder /nowhere/mine.
    """
    model_name = name.split(":")[0]
    if model_name in list_models() or Path(name).is_dir():
        return
    if Path(name).is_file():
        raise ValueError(file_instead(name))
    if is_path(name):
        raise FileNotFoundError(missing_folder(name))
    verb = "pass a run folder, a folder of save_pretrained, or one of"
    told = choose(model_name, list_models(), verb=verb, every=f"{as_started('vig-pyg models')} lists all")
    hint = did_you_mean(name)
    if hint and "Did you mean" in told:  # one question names both
        told, hint = told.replace("? ", f" or {hint.removeprefix(' Did you mean ')} ", 1), ""
    raise FileNotFoundError(f"There is no folder {name} and no model with this name{told}.{hint}")


def _from_name(name: str, weights: str | Path | None, progress: bool, position: str | None) -> ImageClassifier:
    check_name(name)
    model_name = name.split(":")[0]
    if weights is None:
        entry = get_weights(name)
        model = create_model(model_name, weights=entry)
        assert model.class_names is not None and model.preprocessing is not None
        preprocessing, names = model.preprocessing, model.class_names
    else:
        if model_name != name:
            raise ValueError(f"{name} names published weights, but {weights} is given too: pass only {model_name}.")
        published = unwrap_state_dict(fetch(weights, progress=progress)[1])
        state = convert(published, "native")
        if "head.fc2.bias" not in state:
            variant = identify_variant(state)
            hint = f" (it looks like {variant})" if variant else ""
            raise ValueError(f"{weights} has no classifier{hint}, so it cannot predict classes.")
        model = create_model(model_name, num_classes=len(state["head.fc2.bias"]))
        model = model if position is None else _with_position(model, position)
        load_weights(model, published, overridden=() if position is None else ["position"])  # tables are compared
        names = _names(model)
        preprocessing = _usual(model_name, model)
    return ImageClassifier(name=name, model=model.eval(), class_names=names, preprocessing=preprocessing)


def _names(model: VisionGNN[Any]) -> list[str]:
    """Return default class names: those of ImageNet for 1000 classes, otherwise numbers."""
    count = model.config.num_classes
    return list(imagenet_categories()) if count == 1000 else [str(i) for i in range(count)]


def _usual(name: str, model: VisionGNN[Any]) -> Preprocessing:
    """Return the published preprocessing of a model; if there is none, return one that keeps the whole short side."""
    later = name.partition("_")[0] in PAGES and not name.endswith("_micro")
    usual = 0.9 if later else 1.0  # the later families have one crop, also where no file is known
    crop_pct = TABLE[f"{name}:{IMAGENET}"].preprocessing.crop_pct if f"{name}:{IMAGENET}" in TABLE else usual
    return default_preprocessing(model.config, crop_pct=crop_pct)


def _with_position(model: VisionGNN[Any], position: str) -> VisionGNN[Any]:
    """Return a model with the same weights and another position mode."""
    family: Any = type(model)
    if not isinstance(model.config, PyramidViGConfig):
        raise TypeError(f"position={position!r} is an option of Pyramid ViG: a {family.__name__} has no position mode.")
    other: VisionGNN[Any] = family(model.config.override({"position": position}))
    other.load_state_dict(model.state_dict())
    return other.eval()
