"""Loading of a trained detector from its folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vig_pyg import backbones
from vig_pyg._io.launcher import as_started
from vig_pyg._io.schema import Check, choice, listing, mapping, read_as, whole
from vig_pyg._io.text import error_text
from vig_pyg._predictor import Predictor
from vig_pyg.artifact import BEST, CONFIG, DETECTION, SEGMENTATION, WEIGHTS, read_config
from vig_pyg.checkpoints.read import read_state
from vig_pyg.config import PYRAMID_VIG_VARIANTS
from vig_pyg.config_schema import check_names, check_size, check_weights_hold
from vig_pyg.detection.builders import DETECTORS, DetectorConfig, DetectorOptions, detector_config
from vig_pyg.detection.flip import detect_with_flip
from vig_pyg.detection.options import check_options, check_own
from vig_pyg.detection.pixels import as_pixels
from vig_pyg.image_io import AnyImage, as_image, as_list
from vig_pyg.models.hub import find_folder
from vig_pyg.models.published_name import check_no_classifier

_log = logging.getLogger(__name__)

_WHAT = "the configuration of a detector"
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, repr=False)
class ObjectDetector(Predictor):
    """A trained detector that can be called on images.

    Args:
        class_names: Names of the classes, starting with that of label 1.
        category_ids: COCO category IDs of the classes.
        masks: True if the detector predicts outlines as well as boxes.

    Example:
        >>> from vig_pyg.detection import retinanet_pvig
        >>> model = retinanet_pvig("micro", num_classes=1, min_size=64, max_size=96, out_channels=16)
        >>> detector = ObjectDetector(name="mine", model=model, class_names=["cat"], category_ids=[1])
        >>> sorted(detector(torch.rand(3, 50, 70)))
        ['boxes', 'labels', 'scores']
    """

    name: str
    model: nn.Module
    class_names: list[str]
    category_ids: list[int]
    masks: bool = False

    @property
    def classes(self) -> list[str]:
        """Names of the classes, that of label 1 first."""
        return self.class_names

    @property
    def preprocessing(self) -> nn.Module:
        """The transform from images in [0, 1] to the input of the network; the model itself applies it."""
        transform: nn.Module = self.model.transform  # type: ignore[assignment]
        return transform

    def _size(self) -> str:
        transform: Any = self.model.transform
        return f"min_size={transform.min_size[-1]}, max_size={transform.max_size}"

    def __call__(
        self,
        images: AnyImage | Sequence[AnyImage],
        *,
        threshold: float = 0.5,
        batch_size: int = 1,
        flip: bool = False,
    ) -> Any:
        """Detect the objects in an image, or in each of several images.

        Args:
            images: An image (see `vig_pyg.image_io.as_image`), a list of images of any sizes, or a tensor
                `(B, C, H, W)` of pixels that are not normalized.
            threshold: Lowest score of an object, from 0 to 1.
            batch_size: Number of images that are processed together; it changes only the speed and the memory.
            flip: If true, objects are also looked for in the mirror image, which takes twice the time.

        Returns:
            The dict that `detect` returns, or a list of such dicts for several images.

        Raises:
            ValueError: If there is no image, or one is not a valid image.
            FileNotFoundError: If a file does not exist.
        """
        several, parts = as_list(images)
        if not parts:
            raise ValueError("Expected at least one image, got an empty list.")
        self.model.eval()
        where = next(self.model.parameters()).device
        pixels = [as_pixels(as_image(part)) for part in parts]
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        found: list[dict[str, Tensor]] = []
        for start in range(0, len(pixels), batch_size):
            part = pixels[start : start + batch_size]
            found += detect_batch(self, part, threshold=threshold, device=where, flip=flip)
        return found if several else found[0]


def find_device(device: str | torch.device | None) -> torch.device:
    """Return the device with this name; by default a CUDA GPU if there is one, otherwise the CPU.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def detect(
    detector: ObjectDetector,
    image: Tensor,
    *,
    threshold: float = 0.5,
    device: str | torch.device | None = "cpu",
    flip: bool = False,
) -> dict[str, Tensor]:
    """Detect the objects in one image, sorted by descending score.

    Args:
        image: The image as uint8 `(3, H, W)` (see `read_pixels`).
        threshold: Lowest score of an object, from 0 to 1.
        flip: If true, objects are also looked for in the mirror image (see `detect_with_flip`).

    Shapes: an image `(3, H, W)`; the results are listed below.

    Returns:
        A dict of tensors on the CPU: `boxes (n, 4)`, `labels (n,)` from 1, `scores (n,)` and, for Mask R-CNN,
        `masks (n, 1, H, W)`.

    Example:
        >>> from vig_pyg.detection import retinanet_pvig
        >>> model = retinanet_pvig("micro", num_classes=1, min_size=64, max_size=96, out_channels=16).eval()
        >>> detector = ObjectDetector(name="mine", model=model, class_names=["cat"], category_ids=[1])
        >>> detect(detector, torch.zeros(3, 50, 70, dtype=torch.uint8), threshold=1.0)["boxes"].shape
        torch.Size([0, 4])
    """
    return detect_batch(detector, [image], threshold=threshold, device=device, flip=flip)[0]


@torch.inference_mode()
def detect_batch(
    detector: ObjectDetector,
    images: Sequence[Tensor],
    *,
    threshold: float = 0.5,
    device: str | torch.device | None = "cpu",
    flip: bool = False,
) -> list[dict[str, Tensor]]:
    """Detect the objects in several images at once, with the same results as `detect` for each of them."""
    where = find_device(device)
    pixels = [image.to(where) / 255 for image in images]
    results = detect_with_flip(detector.model, pixels) if flip else detector.model(pixels)
    return [_above(found, threshold) for found in results]


def _above(found: dict[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Return the objects whose score is high enough, without background, on the CPU."""
    kept = (found["scores"] >= threshold) & (found["labels"] > 0)
    return {name: values[kept].cpu() for name, values in found.items()}


def load_detector(source: str | Path) -> ObjectDetector:
    """Load a trained detector; its training run may still be in progress.

    Args:
        source: The folder of the detector, or a name on the Hugging Face hub.

    Raises:
        FileNotFoundError: If the folder is not that of a detector, or no epoch is finished yet.
        ConnectionError: If the hub has no such model, or cannot be reached.
        ValueError: If a value in the configuration is out of range, or the weights do not match it.
    """
    folder, weights = trained_folder(source, "a detector")
    config, class_names, category_ids = read_detector(folder / CONFIG)
    return ObjectDetector(
        name=str(source),
        model=trained_model(config.build, weights),
        class_names=class_names,
        category_ids=category_ids,
        masks=config.detector == "maskrcnn",
    )


def trained_folder(source: str | Path, expected: str) -> tuple[Path, Path]:
    """Return the folder of a model and its weights: of a run in progress, those of the best epoch so far."""
    path = Path(source)
    begun = (path / CONFIG).is_file() and not (path / WEIGHTS).is_file()
    if begun and not (path / BEST).is_file():
        raise FileNotFoundError(f"{path} has no {WEIGHTS} yet: no epoch of this run is finished and evaluated.")
    check_no_classifier(str(source), expected)
    folder = path if begun else find_folder(str(source))
    if begun:
        _log.warning("The training of %s has not ended: these are the weights of its best epoch so far.", path)
    return folder, folder / (BEST if begun else WEIGHTS)


def trained_model(build: Callable[[], Model], weights: Path) -> Model:
    """Build a model, and load its weights, which must fit its configuration beside them."""
    try:
        check_weights_hold(build, weights, str(weights.with_name(CONFIG)))
        model = build()
        model.load_state_dict(read_state(weights))
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{weights} does not fit {CONFIG} beside it: {error_text(error)}") from error
    return model.eval()


def read_detector(path: Path) -> tuple[DetectorConfig, list[str], list[int]]:
    """Read and check `config.json` of a detector, with its classes and category IDs; nothing is built or downloaded.

    Raises:
        ValueError: If an entry is missing, unknown, out of range, or inconsistent with the others.
    """
    where, content = str(path), read_config(path, what=_WHAT)
    with read_as(_WHAT, where):
        if content["task"] == SEGMENTATION:
            raise ValueError(f"it is that of a segmentation network; use `{as_started('vig-pyg segment')}`.")
        if content["task"] != DETECTION:
            use = as_started("vig-pyg predict")
            raise ValueError(f"it is that of a classifier; use `{use}`, `evaluate` or `train`.")
        for key in ("class_names", "category_ids"):
            if content.get(key) is None:
                raise ValueError(f"{where}: the entry {key!r} is missing.")
        names: list[str] = check_names(content["class_names"], f"{where}: class_names")
        ids: list[int] = _IDS(content["category_ids"], f"{where}: category_ids")
        if not len(names) == len(ids) == len(set(ids)):
            raise ValueError(f"{where}: category_ids must have one unique number for each of class_names.")
        read = _read_first_form if content["schema_version"] == 0 else _read
        config = read(content, len(names), where)
        if config.options.num_classes != len(names):
            raise ValueError(f"it has {len(names)} class_names, but num_classes={config.options.num_classes}.")
        check_size(config.backbone, config.options.max_size, where)
    return config, names, ids


def _read(content: dict[str, Any], _: int, where: str) -> DetectorConfig:
    detector = choice(tuple(DETECTORS))
    parts: dict[str, Check] = {"detector": detector, "backbone": backbones.read, "options": check_own}
    entry = mapping(parts, required=tuple(parts))(content["model"], f"{where}: model")
    return DetectorConfig(
        detector=entry["detector"],
        backbone=entry["backbone"],
        options=DetectorOptions(**{"num_classes": 0, **entry["options"]}),
    )


def _read_first_form(content: dict[str, Any], num_classes: int, where: str) -> DetectorConfig:
    """Read the first version of the format, which stores the options together with the training values."""
    detector = choice(tuple(DETECTORS))(content.get("detector"), f"{where}: detector")
    variant = choice(tuple(PYRAMID_VIG_VARIANTS))(content.get("variant"), f"{where}: variant")
    given = content.get("options")
    checked = check_options(given, f"{where}: options")
    return detector_config(detector, variant, {**checked, "num_classes": num_classes})


_IDS = listing(whole(-(2**63), 2**63 - 1), 1, 100_000)
