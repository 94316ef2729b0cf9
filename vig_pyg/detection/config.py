"""The configuration of a training run of a detector."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from vig_pyg._image_values import SIDE_LIMIT
from vig_pyg._io.dataclass_schema import check_fields
from vig_pyg._io.schema import Scalar, listing, nearest, number, positive, whole
from vig_pyg.detection.presets import PRESETS
from vig_pyg.engine.config import Count, Share, TrainConfig
from vig_pyg.engine.config_file import Source, from_values, merge_values
from vig_pyg.engine.warmup import check_warmup

_check_range = listing(number(0.01, 16), 2, 2)


def _check_scale(value: Any, where: str) -> tuple[float, ...]:
    return tuple(_check_range(value, where))


def _check_backbone(value: Any, where: str) -> Any:
    from vig_pyg import backbones  # only where a value is given: flags are parsed without torch

    return backbones.check_backbone(value, where)


#: Smallest and largest scaling factor, a relative change of colors, and the name of a backbone.
Scale = Annotated[tuple[float, float], _check_scale]
Strength = Annotated[
    float, Scalar("a number from 0 to less than 1", lambda value: number(0, 1).takes(value) and value < 1)
]
Backbone = Annotated[str, _check_backbone]
Config = TypeVar("Config", bound=TrainConfig)


def _check_options(value: Any, where: str) -> Any:
    from vig_pyg.detection.options import check_options

    return check_options(value, where)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each training image.

    Args:
        flip: Random flips: `none`, `h` (left-right), or `hv` (left-right and up-down).
        scale: Smallest and largest factor by which an image is scaled before it is cropped or padded to its size, from
            0.01 to 16; `[1, 1]` disables this.
        color: Largest relative change of brightness, contrast and saturation; 0 disables it.
        jitter: Large-scale jitter (arXiv 2012.07177): smallest and largest factor by which an image is scaled, from
            0.01 to 16. With factor 1, the image just fits into a square with the side `jitter_size`. A larger image is
            cropped at random to this square; a smaller one is not padded, because padding would become nodes of the
            graph. With jitter, the detector does not resize training images. The published value is `[0.1, 2]`; null
            disables jitter.
        jitter_size: Side length in pixels of the square to which `jitter` crops; the published value is 1024.
        copy_paste: Probability that objects of another random training image are pasted into an image (arXiv
            2012.07177). This requires annotations with outlines. 0 disables it.

    Raises:
        ValueError: If a value is out of its bounds, a range is empty, or `scale` and `jitter` are both on.

    Example:
        >>> Augmentation(flip="hv").scale
        (1.0, 1.0)
    """

    flip: Literal["none", "h", "hv"] = "h"
    scale: Scale = (1.0, 1.0)
    color: Strength = 0.0
    jitter: Scale | None = None
    jitter_size: Annotated[int, whole(1, SIDE_LIMIT)] = 1024
    copy_paste: Share = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, span in (("scale", self.scale), ("jitter", self.jitter)):
            if span is not None and span[0] > span[1]:
                raise ValueError(f"{name} must be a smallest and a largest factor, got {list(span)}.")
        if self.jitter is not None and tuple(self.scale) != (1.0, 1.0):
            raise ValueError(
                f"scale={list(self.scale)} and jitter={list(self.jitter)} both scale images: choose one of them."
            )


@dataclass(frozen=True, kw_only=True)
class DetectionConfig(TrainConfig):
    """Data and detector of a run.

    The defaults are COCO's usual 1x schedule with AdamW. The detection code of Vision GNN was not published, so its
    learning rate is not known. Values that we chose are marked "our choice". The
    other options are those of `vig_pyg.engine.TrainConfig`.

    Args:
        train: Images to train on: `FILE.json` or `FILE.json:IMAGES` in COCO's format, or `FOLDER:LIST` of Pascal VOC.
        val: Images to evaluate on, in one of the forms of `train`.
        detector: Detector on the pyramid's feature maps; `maskrcnn` learns outlines too.
        model: The backbone: a size of Pyramid ViG, such as `tiny`, or the name of another pyramid, such as
            `greedyvig_small`; `vig-pyg models` lists the names.
        options: Options of the detector and of the backbone by name, such as `anchor_scale` or `drop_path_rate` (see
            `DetectorOptions`); the number of classes comes from the annotations.
        on_bad: How to handle an object whose box or outline cannot be used: `drop` it with a warning, or `stop`.
        augmentation: Random changes of each training image.
        aspect_grouping: Fill each batch with images that are all wide, or all tall, so that less of the last feature
            maps is padding.
        epochs: Number of passes over the training images; 12 in the 1x schedule.
        batch_size: Number of images in one step, over all processes; 16 in the 1x schedule.
        lr: Largest learning rate; 1e-4 for batches of 16 is our choice. Use a smaller value for smaller
            batches, and a larger value for training from scratch.
        schedule: How the learning rate falls after the warm-up: `step` divides it by 10 at the `milestones`, after 8/12
            and 11/12 of the run (1x); `cosine` is our choice for small data; `poly` multiplies it by the remaining
            share of the run to the power of 0.9.
        warmup: Length of the linear rise of the learning rate, with its unit; 500 steps in the 1x schedule.
        clip_grad: Largest norm of the gradient, or null; 10 is our choice, which clips only diverging runs.

    Raises:
        ValueError: If a value is out of range, or `in_channels` is not 3.

    Example:
        >>> DetectionConfig(train="train.json", val="val.json").schedule
        'step'
    """

    train: str
    val: str
    detector: Literal["retinanet", "fasterrcnn", "maskrcnn"] = "retinanet"
    model: Backbone = "tiny"
    options: Annotated[dict[str, Any], _check_options] = field(default_factory=dict)
    on_bad: Literal["drop", "stop"] = "drop"
    augmentation: Augmentation = field(default_factory=Augmentation)
    aspect_grouping: bool = False
    epochs: Count = 12
    batch_size: Count = 16
    lr: Annotated[float, positive(1_000)] = 1e-4
    schedule: Literal["cosine", "poly", "step"] = "step"
    warmup: Annotated[str, check_warmup] = "500 steps"
    clip_grad: Annotated[float, positive(1e9)] | None = 10.0

    def __post_init__(self) -> None:
        from vig_pyg.config_schema import check_size
        from vig_pyg.detection.options import OPTIONS

        check_fields(self)
        body = backbone_of(self, OPTIONS, builders="vig_pyg.detection.DETECTORS")
        check_size(body, self.options.get("max_size", 1333), "options")
        if self.augmentation.jitter is not None:
            check_size(body, self.augmentation.jitter_size, "augmentation.jitter_size")

    @property
    def variant(self) -> str:
        """Name of the backbone, without the prefix of Pyramid ViG."""
        from vig_pyg import backbones

        return backbones.short_name(self.model)

    @property
    def masks(self) -> bool:
        """True if the detector learns outlines."""
        return self.detector == "maskrcnn"


def make_config(*sources: Source, preset: str | None = None) -> DetectionConfig:
    """Return the default configuration with changed values; later sources override earlier ones.

    Args:
        sources: Pairs of a name for error messages, such as a file name, and values by field name. `options` replaces
            all options, also those of the preset, and a key such as `options.k` sets one.

    Raises:
        ValueError: If the preset, a name or a value is wrong, or there are no images.

    Example:
        >>> make_config(("the command line", {"train": "a.json", "val": "b.json", "options.k": 5})).options
        {'k': 5}
    """
    if preset is not None:
        if preset not in PRESETS:
            raise ValueError(f"Unknown preset {nearest(preset, PRESETS)}: choose one of {', '.join(PRESETS)}.")
        sources = (f"the preset {preset}", PRESETS[preset]), *sources
    return from_sources(DetectionConfig, *sources)


def from_sources(config: type[Config], *sources: Source) -> Config:
    """Return the configuration of a run, whose sources must name the images of `train` and `val`."""
    values = merge_values(config, {}, *sources)
    for name in ("train", "val"):
        if name not in values:
            raise ValueError(
                f"--{name} is missing: pass it, or set it in the file of --config. (--resume RUN continues a run.)"
            )
    return from_values(config, values)


def backbone_of(config: Any, beside: Collection[str], *, builders: str) -> Any:
    """Return the checked configuration of the backbone of a run; `beside` are the names of the other options."""
    from vig_pyg import backbones

    if config.options.get("in_channels", 3) != 3:
        raise ValueError(
            f"Images are read in color: in_channels must be 3, got {config.options['in_channels']}. Write your own "
            f"training loop for other channels (see {builders})."
        )
    return backbones.checked_config(config.variant, backbones.split_options(config.options, beside)[0])
