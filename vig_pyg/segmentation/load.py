"""Loading of a trained network for semantic segmentation from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vig_pyg import backbones
from vig_pyg._io.launcher import as_started
from vig_pyg._io.schema import Check, choice, mapping, read_as
from vig_pyg._predictor import Predictor
from vig_pyg.artifact import CONFIG, DETECTION, SEGMENTATION, read_config
from vig_pyg.config_schema import check_names, check_size
from vig_pyg.detection.load import trained_folder, trained_model
from vig_pyg.detection.pixels import as_pixels
from vig_pyg.image_io import AnyImage, as_image, as_list
from vig_pyg.segmentation.builders import SEGMENTERS, SegmenterConfig, SegmenterOptions
from vig_pyg.segmentation.infer import Inference, label_maps
from vig_pyg.segmentation.options import check_own
from vig_pyg.segmentation.preprocess import SegmentationPreprocessing, Size, read_preprocessing
from vig_pyg.segmentation.segmenter import Segmenter

_WHAT = "the configuration of a segmentation network"


@dataclass(frozen=True, kw_only=True, repr=False)
class SemanticSegmenter(Predictor):
    """A trained segmentation network that can be called on images.

    Args:
        name: The source from which the network was loaded, for messages.
        model: The network, in evaluation mode.
        class_names: Names of the classes, in the order of the labels from 0.
        preprocessing: The transform from an image to the input of the network.

    Raises:
        ValueError: In a call, if there is no image.

    Example:
        >>> from vig_pyg.segmentation import semantic_fpn_pvig
        >>> model, plain = semantic_fpn_pvig("micro", num_classes=1, out_channels=16), SegmentationPreprocessing()
        >>> segmenter = SemanticSegmenter(name="mine", model=model, class_names=["sky"], preprocessing=plain)
        >>> segmenter(torch.rand(3, 40, 50))["labels"].shape
        torch.Size([40, 50])
    """

    name: str
    model: Segmenter
    class_names: list[str]
    preprocessing: SegmentationPreprocessing

    @property
    def classes(self) -> list[str]:
        """Names of the classes, that of label 0 first."""
        return self.class_names

    def _size(self) -> str:
        return f"image_size={self.preprocessing.image_size}"

    def __call__(
        self,
        images: AnyImage | Sequence[AnyImage],
        *,
        flip: bool = False,
        window: Size | None = None,
        stride: Size | None = None,
    ) -> Any:
        """Label the pixels of an image, or of each of several images.

        Args:
            images: An image (see `vig_pyg.image_io.as_image`), a list of images of any sizes, or a tensor
                `(B, C, H, W)` of pixels that are not normalized.
            flip: If true, the probabilities of an image and of its mirror image are averaged.
            window: Height and width of sliding windows; by default the whole image passes through the network.
            stride: Vertical and horizontal distance between windows; by default two thirds of the window.

        Returns:
            A dict of tensors on the CPU, `labels (H, W)` of uint8 (int64 with more than 255 classes) and
            `scores (H, W)`, the probabilities of the labels; or a list of dicts for several images.

        Raises:
            ValueError: If there is no image, one is not a valid image, or the windows are not valid.
            FileNotFoundError: If a file does not exist.
        """
        several, parts = as_list(images)
        if not parts:
            raise ValueError("Expected at least one image, got an empty list.")
        how = Inference(window=window, stride=stride, flip=flip)
        self.model.eval()
        found = [segment(self, as_pixels(as_image(part)), how) for part in parts]
        return found if several else found[0]


def segment(segmenter: SemanticSegmenter, pixels: Tensor, how: Inference) -> dict[str, Tensor]:
    """Label the pixels of one image.

    Returns:
        The dict that `SemanticSegmenter.__call__` returns for one image.
    """
    where = next(segmenter.model.parameters()).device
    image = segmenter.preprocessing.of_pixels(pixels).to(where)
    ((scores, labels),) = label_maps(segmenter.model, [image], [(pixels.size(1), pixels.size(2))], how)
    kind = torch.uint8 if len(segmenter.class_names) <= 255 else torch.long
    return {"labels": labels.to("cpu", kind), "scores": scores.cpu()}


def load_segmenter(source: str | Path) -> SemanticSegmenter:
    """Load a trained segmentation network; its training run may still be in progress.

    Args:
        source: The folder of the network, or a name on the Hugging Face hub.

    Raises:
        FileNotFoundError: If the folder is not that of a segmentation network, or no epoch is finished yet.
        ConnectionError: If the hub has no such model, or cannot be reached.
        ValueError: If a value in the configuration is out of range, or the weights do not match it.
    """
    folder, weights = trained_folder(source, "a segmentation network")
    config, class_names, preprocessing = read_segmenter(folder / CONFIG)
    model = trained_model(config.build, weights)
    return SemanticSegmenter(name=str(source), model=model, class_names=class_names, preprocessing=preprocessing)


def read_segmenter(path: Path) -> tuple[SegmenterConfig, list[str], SegmentationPreprocessing]:
    """Read and check `config.json` of a segmentation network; nothing is built or downloaded.

    Raises:
        ValueError: If an entry is missing, unknown, out of range, or inconsistent with the others.
    """
    where, content = str(path), read_config(path, what=_WHAT)
    with read_as(_WHAT, where):
        if content["task"] != SEGMENTATION:
            other = "detector" if content["task"] == DETECTION else "classifier"
            of_detector, of_classifier = as_started("vig-pyg detect"), as_started("vig-pyg predict")
            use = f"`{of_detector}`" if other == "detector" else f"`{of_classifier}`, `evaluate` or `train`"
            raise ValueError(f"it is that of a {other}; use {use}.")
        for key in ("class_names", "preprocessing"):
            if content.get(key) is None:
                raise ValueError(f"{where}: the entry {key!r} is missing.")
        names: list[str] = check_names(content["class_names"], f"{where}: class_names")
        preprocessing = read_preprocessing(content["preprocessing"], f"{where}: preprocessing")
        config = _read(content["model"], where)
        if config.options.num_classes != len(names):
            raise ValueError(f"it has {len(names)} class_names, but num_classes={config.options.num_classes}.")
        if config.backbone.in_channels != 3:
            raise ValueError(f"images are read in color, but in_channels={config.backbone.in_channels}.")
        check_size(config.backbone, preprocessing.image_size or config.backbone.image_size, where)
    return config, names, preprocessing


def _read(entry: Any, where: str) -> SegmenterConfig:
    parts: dict[str, Check] = {
        "segmenter": choice(tuple(SEGMENTERS)),
        "backbone": backbones.read,
        "options": check_own,
    }
    checked = mapping(parts, required=tuple(parts))(entry, f"{where}: model")
    return SegmenterConfig(
        segmenter=checked["segmenter"],
        backbone=checked["backbone"],
        options=SegmenterOptions(**{"num_classes": 0, **checked["options"]}),
    )
