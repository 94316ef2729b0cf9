"""The configuration of a training run of a classifier."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from vig_pyg._image_values import SIDE_LIMIT, Statistic, check_mean, check_std
from vig_pyg._io.dataclass_schema import check_fields
from vig_pyg._io.schema import Scalar, number, positive, text, whole
from vig_pyg.engine.config import Share, TrainConfig

#: The options are checked when the name of the network is known, because they are fields of its configuration.
Options = Annotated[dict[str, Any], Scalar("a mapping such as {conv: mr, k: 9}", lambda value: isinstance(value, dict))]
Side = Annotated[int, whole(1, SIDE_LIMIT)]
Name = Annotated[str, text(1_000)]
Alpha = Annotated[float, number(0, 1_000)]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each training image, in this order.

    Args:
        affine: Random rotation by up to 10 degrees, and shift and scale by up to a tenth; for scanned characters.
        crop: Smallest area of a random crop as a share of the image; null resizes and crops as in evaluation. The
            published value for ImageNet is 0.08; small data sets need larger crops.
        flip: Probability of a left-right flip; use 0 if left and right differ in meaning.
        color_jitter: Largest relative change of brightness, contrast and saturation; the published value is 0.4. As in
            timm, it has no effect together with `randaugment`.
        randaugment: RandAugment as a timm string; the published value is `rand-m9-mstd0.5-inc1`, and null disables it.
        erasing: Probability that a random box is overwritten by noise; the published value is 0.25.

    Raises:
        ValueError: If a value is out of its bounds.

    Example:
        >>> Augmentation(crop=0.08, flip=0).erasing
        0.0
    """

    affine: bool = False
    crop: Annotated[float, number(1e-4, 1)] | None = 0.35
    flip: Share = 0.5
    color_jitter: Annotated[float, number(0, 10)] = 0.0
    randaugment: Annotated[str, text(100)] | None = None
    erasing: Share = 0.0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TrainConfig):
    """Data, network and loss of a classifier.

    The other options are those of `vig_pyg.engine.TrainConfig`.

    Args:
        data: Training data: `digits`, `cifar10`, `cifar100`, a folder with `train/` and `val/` or with one folder for
            each class, a CSV file with the columns `path` and `label`, or a data set with timm's name: `wds/` and a
            folder of shards, `hfds/` and a folder or a name on the Hugging Face hub, or `torch/` and a data set of
            torchvision.
        root: Folder of the files of `cifar10`, `cifar100` and `torch/`; missing files are downloaded.
        train_split: Name of the training part of `wds/` or `hfds/` data; null selects the part called `train`.
        val_split: Name of the validation part of `wds/` or `hfds/` data; null selects the part called `val`, `valid` or
            `validation`, or `test` if there is none of these.
        input_key: File extension of the images in the samples of `wds/`, or name of the image column in `hfds/`, if
            there are several.
        target_key: File extension or JSON key of the labels in the samples of `wds/`, or name of the label column in
            `hfds/`.
        image_size: Side length of the square training images in pixels.
        in_channels: Number of channels of the images: 1 for gray, 3 for color, 2 and 4 for gray and color with alpha.
            Other numbers require `.npy` arrays.
        crop_pct: Side length of the center crop in evaluation, as a share of the short side.
        mean: Mean of the normalization for pixels from 0 to 1, one number or one for each channel; null selects that
            of the network's published weights.
        std: Standard deviation of the normalization, in the form of `mean`.
        cache: Keep all decoded images in memory, with a short side of at most this number of pixels; null disables the
            cache.
        on_bad: How to handle an image that cannot be read: `stop`, or `drop` it with a warning.
        model: Name of the network; `vig-pyg models` lists them.
        options: Options of the network by their names, such as `depths` or `heads` (see `PyramidViGConfig`).
        drop_path_rate: Stochastic depth probability of the last block; it increases linearly from 0 in the first block.
            `published` means 0.1, or 0.3 for base models.
        weights: Weights to start from: a file, a run folder, a URL, or the name of published weights such as
            `pvig_tiny`.
        teacher: A trained network from which the network learns: the name of a timm model (such as
            `regnety_160.deit_in1k`, with which the later families were trained), a model folder, or the name of a model
            of this library. It must have the classes of the data; the network needs the option `distillation`. null
            trains without a teacher.
        teacher_weights: Weight file for a teacher that is given by its name; null loads its published weights.
        distillation: What the network learns from the teacher: `hard` is its most probable class, as published, and
            `soft` is its probabilities. null means `hard` with a teacher.
        distillation_alpha: Weight of the teacher's part of the loss; the labels have the rest. The published value is
            0.5.
        distillation_tau: Temperature of the probabilities with `soft`.
        label_smoothing: Share of the target that is distributed over all classes; the published value is 0.1.
        class_weights: Weight the loss of each class by the inverse of its number of training images.
        mixup: MixUp alpha; the published value is 0.8, and 0 disables it.
        cutmix: CutMix alpha; the published value is 1.0, and 0 disables it. If MixUp is also on, each batch uses one of
            the two.
        mix_prob: Share of the batches that are mixed.
        repeats: Number of copies of each image in a batch (repeated augmentation); the published value is 3, and 1
            disables it.
        augmentation: Random changes of each training image.

    Raises:
        ValueError: If a value is out of its bounds, or an option of the teacher is given without a teacher.

    Example:
        >>> ClassificationConfig(data="images", augmentation=Augmentation(flip=0)).model
        'vig_micro'
    """

    data: str = "digits"
    root: str = "data"
    train_split: Name | None = None
    val_split: Name | None = None
    input_key: Name | None = None
    target_key: Name | None = None
    image_size: Side = 16
    in_channels: Annotated[int, whole(1, 1_024)] = 3
    crop_pct: Annotated[float, number(0.01, 1)] = 1.0
    mean: Annotated[Statistic, check_mean] | None = None
    std: Annotated[Statistic, check_std] | None = None
    cache: Side | None = None
    on_bad: Literal["stop", "drop"] = "stop"
    model: Annotated[str, text(100)] = "vig_micro"
    options: Options = field(default_factory=dict)
    drop_path_rate: Share | Literal["published"] = 0.0
    weights: str | None = None
    teacher: Annotated[str, text(4_096)] | None = None
    teacher_weights: str | None = None
    distillation: Literal["hard", "soft"] | None = None
    distillation_alpha: Share = 0.5
    distillation_tau: Annotated[float, positive(1_000)] = 1.0
    label_smoothing: Share = 0.1
    class_weights: bool = False
    mixup: Alpha = 0.0
    cutmix: Alpha = 0.0
    mix_prob: Share = 1.0
    repeats: Annotated[int, whole(1, 1_000)] = 1
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("teacher_weights", "distillation"):
            if self.teacher is None and getattr(self, name) is not None:
                raise ValueError(
                    f"{name}={getattr(self, name)} needs a teacher: pass teacher (--teacher) too, or leave it out."
                )
        if self.teacher is None and self.distillation_alpha != 0.5:
            raise ValueError(
                f"distillation_alpha={self.distillation_alpha} needs a teacher: pass teacher (--teacher) too."
            )
        if self.distillation != "soft" and self.distillation_tau != 1:
            raise ValueError(f"distillation_tau={self.distillation_tau} is an option of distillation=soft.")
        for name in ("mean", "std"):
            if isinstance(getattr(self, name), tuple):
                object.__setattr__(self, name, list(getattr(self, name)))  # as a file has it

    def resolved(self) -> Self:
        """Return a copy in which words such as `published` are replaced by numbers, which depend on other values."""
        if self.drop_path_rate != "published":
            return self
        return replace(self, drop_path_rate=0.3 if self.model.endswith("_base") else 0.1)
