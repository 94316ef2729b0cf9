"""The configuration of a training run of a segmentation network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from vig_pyg._image_values import SIDE_LIMIT, Statistic, check_mean, check_std
from vig_pyg._io.dataclass_schema import check_fields
from vig_pyg._io.schema import listing, positive, whole
from vig_pyg.detection.config import Backbone, Scale, Strength, backbone_of, from_sources
from vig_pyg.engine.config import Count, Share, TrainConfig
from vig_pyg.engine.config_file import Source
from vig_pyg.engine.warmup import check_warmup

_check_sides = listing(whole(1, SIDE_LIMIT), 2, 2)


def _check_crop(value: Any, where: str) -> tuple[int, ...]:
    return tuple(_check_sides(value, where))


def _check_options(value: Any, where: str) -> Any:
    from vig_pyg.segmentation.options import check_options

    return check_options(value, where)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each training image and its mask.

    Args:
        scale: Smallest and largest factor by which an image is scaled before the crop, from 0.01 to 16; `[1, 1]`
            disables this.
        flip: Random flips: `none`, `h` (left-right), or `hv` (left-right and up-down).
        color: Largest relative change of brightness, contrast and saturation; 0 disables it.

    Raises:
        ValueError: If a value is out of its bounds, or the range of `scale` is empty.

    Example:
        >>> Augmentation(flip="none").scale
        (0.5, 2.0)
    """

    scale: Scale = (0.5, 2.0)
    flip: Literal["none", "h", "hv"] = "h"
    color: Strength = 0.4

    def __post_init__(self) -> None:
        check_fields(self)
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must be a smallest and a largest factor, got {list(self.scale)}.")


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(TrainConfig):
    """Data and network of a run.

    The defaults are the recipe of the published networks of the family for ADE20K with Semantic FPN: AdamW, polynomial
    decay, and batches of 32 crops of 512 pixels. `steps=40000` also gives the length of this recipe. Values that we
    chose are marked "our choice". The other options are those of `vig_pyg.engine.TrainConfig`.

    Args:
        train: Images to train on: a folder with `images/`, `masks/` and `classes.txt` (in this folder or in its
            parent), `FOLDER:LIST` of Pascal VOC, `FOLDER:training` of ADE20K, `FOLDER:train` of Cityscapes, or
            `FILE.json` or `FILE.json:IMAGES` in COCO's panoptic or instance format.
        val: Images to evaluate on, in one of the forms of `train`.
        segmenter: Head on the feature maps of the pyramid: `semantic_fpn`, or the larger `upernet`.
        model: The backbone: a size of Pyramid ViG, such as `tiny`, or the name of another pyramid, such as
            `greedyvig_small`; `vig-pyg models` lists the names.
        options: Options of the network and of the backbone by their names, such as `out_channels` or
            `drop_path_rate` (see `SegmenterOptions`); the number of classes comes from the data.
        on_bad: How to handle an image that cannot be read or whose mask cannot be used: `stop`, or `drop` it with a
            warning. In COCO's instance format, `drop` keeps the image, and ignores the pixels in the box of an object
            with an unusable outline.
        image_size: Length in pixels to which the short side of an image is resized, in training before it is scaled;
            512 for ADE20K. null keeps the size.
        mean: Mean of the normalization for pixels from 0 to 1, one number or one for each color; null selects that of
            the backbone's published weights.
        std: Standard deviation of the normalization, in the form of `mean`.
        crop_size: Height and width in pixels of the crops on which the network is trained.
        augmentation: Random changes of each training image.
        loss: `ce` is the cross entropy over all labeled pixels. `ohem` is the cross entropy over the hard pixels of
            each image, whose true class has a probability below 0.7; if they are fewer than a sixteenth of the pixels,
            it uses the hardest sixteenth.
        class_weights: Weights of the classes in the cross entropy, which increase those of rare classes: `none`,
            `inverse` (1 divided by the share of the pixels), or `sqrt` (1 divided by the square root of the share).
        dice: Weight of the Dice loss, which is added to the cross entropy; 0 disables it.
        steps: Length of the training in steps instead of `epochs`, rounded up to whole epochs; 40000 for ADE20K.
        batch_size: Number of images in one step, over all processes.
        lr: Largest learning rate; 2e-4 for batches of 32. Use a larger value for training from scratch.
        warmup: Length of the linear rise of the learning rate, with its unit; 1500 steps is usual.
        clip_grad: Largest norm of the gradient, or null; 10 is our choice, which clips only diverging runs.

    Raises:
        ValueError: If a value is out of range, or `in_channels` is not 3.

    Example:
        >>> SegmentationConfig(train="data/train", val="data/val").schedule
        'poly'
    """

    train: str
    val: str
    segmenter: Literal["semantic_fpn", "upernet"] = "semantic_fpn"
    model: Backbone = "tiny"
    options: Annotated[dict[str, Any], _check_options] = field(default_factory=dict)
    on_bad: Literal["drop", "stop"] = "stop"
    image_size: Annotated[int, whole(1, SIDE_LIMIT // 4)] | None = None
    mean: Annotated[Statistic, check_mean] | None = None
    std: Annotated[Statistic, check_std] | None = None
    crop_size: Annotated[tuple[int, int], _check_crop] = (512, 512)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Literal["ce", "ohem"] = "ce"
    class_weights: Literal["none", "sqrt", "inverse"] = "none"
    dice: Share = 0.0
    steps: Annotated[int, whole(1, 10**9)] | None = None
    epochs: Count = 64
    batch_size: Count = 32
    lr: Annotated[float, positive(1_000)] = 2e-4
    schedule: Literal["cosine", "poly", "step"] = "poly"
    warmup: Annotated[str, check_warmup] = "1500 steps"
    clip_grad: Annotated[float, positive(1e9)] | None = 10.0

    def __post_init__(self) -> None:
        from vig_pyg.config_schema import check_size
        from vig_pyg.segmentation.options import OPTIONS

        check_fields(self)
        for name in ("mean", "std"):
            if isinstance(getattr(self, name), tuple):
                object.__setattr__(self, name, list(getattr(self, name)))  # as a file has it
        body = backbone_of(self, OPTIONS, builders="vig_pyg.segmentation.SEGMENTERS")
        check_size(body, max(*self.crop_size, self.image_size or 1), "options")
        _ = self.preprocessing  # raises an error about the statistics before images are read

    @property
    def variant(self) -> str:
        """Name of the backbone, without the prefix of Pyramid ViG."""
        from vig_pyg import backbones

        return backbones.short_name(self.model)

    @property
    def preprocessing(self) -> Any:  # to find its type, the parser of the flags would import torch
        """The `SegmentationPreprocessing` of the images."""
        from vig_pyg import backbones
        from vig_pyg.interchange import statistics_of
        from vig_pyg.segmentation.preprocess import SegmentationPreprocessing

        mean, std = statistics_of(backbones.backbone_config(self.variant, {}))
        mean, std = mean if self.mean is None else self.mean, std if self.std is None else self.std
        return SegmentationPreprocessing(image_size=self.image_size, mean=mean, std=std)


def make_config(*sources: Source) -> SegmentationConfig:
    """Return the default configuration with changed values; later sources override earlier ones.

    Raises:
        ValueError: If a name or a value is wrong, or there are no images.

    Example:
        >>> make_config(("the command line", {"train": "a", "val": "b", "options.k": 5})).options
        {'k': 5}
    """
    return from_sources(SegmentationConfig, *sources)
