"""Builders of torchvision's detectors with a Vision GNN pyramid as the backbone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from vig_pyg import backbones, weights
from vig_pyg._image_values import Statistic
from vig_pyg._io.names import choose
from vig_pyg._trained_backbone import starting_from
from vig_pyg.config import ModelConfig
from vig_pyg.detection.anchors import RegionPool, StrideAnchors
from vig_pyg.detection.backbone import PyramidFeatures
from vig_pyg.detection.norm import NormMode
from vig_pyg.detection.size_groups import FasterRCNN, MaskRCNN, RetinaNet
from vig_pyg.detection.transform import DetectionTransform
from vig_pyg.interchange import statistics_of
from vig_pyg.models import VisionGNN
from vig_pyg.preprocess import each_channel

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")
Detector: TypeAlias = RetinaNet | FasterRCNN
RATIOS = (0.5, 1.0, 2.0)
#: Default options with classification weights.
PRETRAINED: dict[str, Any] = {"trainable_layers": 3, "norm": "frozen"}


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """The options that the three detectors share.

    Args:
        num_classes: Number of object classes. Labels are 1 to `num_classes`; 0 is background, as in torchvision.
        weights_backbone: Classification weights for the backbone: `"imagenet1k"` (published, see
            `vig_pyg.weights`), a trained classifier (its folder, or its name on the Hugging Face hub), or any source of
            `vig_pyg.weights.load_weights`.
        trainable_layers: Number of trained layers in the order stage 4, 3, 2, 1, stem. The default is 3 with
            `weights_backbone`, as in torchvision, and 5 without.
        norm: Kind of the batch norms of the backbone: `"frozen"` (the default with `weights_backbone`, because
            detection batches are too small for statistics), `"batch"` (the default otherwise), `"sync"` (over devices).
        out_channels: Width of the feature pyramid and of the heads; 256 in torchvision.
        anchor_scale: Side length of the smallest anchor of a map divided by the stride of the map. The default is 4 for
            RetinaNet and 8 for the others, as in torchvision; smaller objects need a smaller value.
        min_size: Length in pixels to which the short side of an image is resized. If several are given, training draws
            one for each image. 800 is usual for COCO.
        max_size: Largest length of the long side in pixels; 1333 is usual for COCO.
        image_mean: Mean of each channel, for pixels in [0, 1]; by default that of the backbone's published weights.
        image_std: Standard deviation of each channel; by default that of the backbone's published weights.
        detector: Additional options of torchvision's class by name, such as `{"detections_per_img": 300}`.

    Example:
        >>> DetectorOptions(num_classes=3, min_size=320, max_size=533).out_channels
        256
    """

    num_classes: int
    weights_backbone: weights.Source | None = None
    trainable_layers: int | None = None
    norm: NormMode | None = None
    out_channels: int = 256
    anchor_scale: float | None = None
    min_size: int | Sequence[int] = 800
    max_size: int = 1333
    image_mean: Sequence[float] | None = None
    image_std: Sequence[float] | None = None
    detector: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """The complete configuration of a detector without its weights; the builders store it as `config` of the detector.

    Args:
        options: The shared options, with all defaults resolved and without `weights_backbone`.
    """

    detector: str
    backbone: Any
    options: DetectorOptions

    def to_json(self) -> dict[str, Any]:
        """Return the entry `model` of `config.json`."""
        options = asdict(self.options)
        del options["weights_backbone"]
        return {"detector": self.detector, "backbone": backbones.describe(self.backbone), "options": options}

    def build(self) -> Detector:
        """Create the detector with random weights."""
        detector: Detector = _on_body(self, backbones.build(self.backbone))
        return detector


def retinanet_pvig(variant: str | ModelConfig | None = None, **options: Any) -> RetinaNet:
    """Create a RetinaNet (arXiv 1708.02002) on stages 2 to 4 of a pyramid and two coarser maps.

    Args:
        variant: `"tiny"`, `"small"`, `"medium"`, `"base"` or `"micro"` of Pyramid ViG, the name of another registered
            pyramid, such as `"greedyvig_small"`, or a configuration, such as a `PyramidViGConfig`. The default is the
            architecture of a trained classifier in `weights_backbone`, or `"tiny"` without one.
        options: Fields of `DetectorOptions` (`num_classes` is required) and of the backbone's configuration, such as
            `drop_path_rate`, `in_channels`, `k` and `conv`. Unlike for a classifier, the default of `position` is
            `"grid"`, which is exact at any size.

    Shapes: in evaluation, a list of images `(C, H_i, W_i)` in [0, 1] of any sizes to a list of dicts with `boxes`,
    `labels` and `scores`. In training, the images and a list of targets with `boxes (n_i, 4)` (x1, y1, x2, y2 in
    pixels) and `labels (n_i,)` to a dict of losses.

    Raises:
        TypeError: If an option is unknown or `num_classes` is missing.
        ValueError: If the value of an option is out of range, or the weights do not fit.

    Example:
        >>> import torch
        >>> model = retinanet_pvig("micro", num_classes=3, min_size=64, max_size=96, out_channels=16)
        >>> sorted(model.eval()([torch.rand(3, 50, 70)])[0])
        ['boxes', 'labels', 'scores']
    """
    return _build("retinanet", variant, options)


def fasterrcnn_pvig(variant: str | ModelConfig | None = None, **options: Any) -> FasterRCNN:
    """Create a Faster R-CNN (arXiv 1506.01497) on the four stages of a pyramid and one coarser map.

    Args:
        variant, options: As for `retinanet_pvig`.

    Shapes: as for `retinanet_pvig`.

    Raises:
        TypeError, ValueError: As for `retinanet_pvig`.

    Example:
        >>> fasterrcnn_pvig("micro", num_classes=3, min_size=64, max_size=96).roi_heads.box_predictor.cls_score
        Linear(in_features=1024, out_features=4, bias=True)
    """
    return _build("fasterrcnn", variant, options)


def maskrcnn_pvig(variant: str | ModelConfig | None = None, **options: Any) -> MaskRCNN:
    """Create a Mask R-CNN (arXiv 1703.06870) on the four stages of a pyramid and one coarser map.

    Args:
        variant, options: As for `retinanet_pvig`.

    Shapes: as for `retinanet_pvig`. In addition, targets have `masks (n_i, H_i, W_i)` of 0 and 1, and detections have
    `masks (n, 1, H_i, W_i)` with probabilities.

    Raises:
        TypeError, ValueError: As for `retinanet_pvig`.

    Example:
        >>> maskrcnn_pvig("micro", num_classes=3, min_size=64, max_size=96).backbone.strides
        [2, 4, 8, 16]
    """
    return _build("maskrcnn", variant, options)


#: The builders by the name of their detector.
DETECTORS: dict[str, Callable[..., Detector]] = {
    "retinanet": retinanet_pvig,
    "fasterrcnn": fasterrcnn_pvig,
    "maskrcnn": maskrcnn_pvig,
}
_CLASSES: dict[str, type[Any]] = {"retinanet": RetinaNet, "fasterrcnn": FasterRCNN, "maskrcnn": MaskRCNN}


def detector_config(detector: str, variant: str | ModelConfig, options: Mapping[str, Any]) -> DetectorConfig:
    """Return the configuration for the arguments of a builder, with all defaults resolved; nothing is built or read.

    Example:
        >>> detector_config("retinanet", "micro", {"num_classes": 3}).options.norm
        'batch'
    """
    ours, overrides = _split(options, variant)
    backbone = backbones.backbone_config(variant, overrides)
    pretrained = ours.weights_backbone is not None
    usual: dict[str, Any] = PRETRAINED if pretrained else {"trainable_layers": 5, "norm": "batch"}
    layers = usual["trainable_layers"] if ours.trainable_layers is None else ours.trainable_layers
    resolved = replace(ours, weights_backbone=None, trainable_layers=layers, norm=ours.norm or usual["norm"])
    return DetectorConfig(detector=detector, backbone=backbone, options=resolved)


def _build(detector: str, variant: str | ModelConfig | None, options: dict[str, Any]) -> Any:
    variant, options = starting_from(variant, options)
    config = detector_config(detector, variant, options)
    body = backbones.build(config.backbone)
    backbones.load_weights(body, options.get("weights_backbone"), variant, _split(options, variant)[1])
    return _on_body(config, body)


def _on_body(config: DetectorConfig, body: VisionGNN[Any]) -> Any:
    """Create the detector of a configuration on a pyramid, whose classifier is removed."""
    ours, retina = config.options, config.detector == "retinanet"
    assert ours.trainable_layers is not None and ours.norm is not None
    extra = LastLevelP6P7(ours.out_channels, ours.out_channels) if retina else LastLevelMaxPool()
    backbone = PyramidFeatures(
        body,
        out_channels=ours.out_channels,
        stages=(2, 3, 4) if retina else (1, 2, 3, 4),
        extra=extra,
        trainable_layers=ours.trainable_layers,
        norm=ours.norm,
    )
    strides, last = list(backbone.strides), backbone.strides[-1]
    strides += [2 * last, 4 * last] if retina else [2 * last]
    sides = [(ours.anchor_scale or (4.0 if retina else 8.0)) * stride for stride in strides]
    if retina:
        sizes = [[round(side * 2 ** (i / 3)) for i in range(3)] for side in sides]
        parts: dict[str, nn.Module] = {"anchor_generator": StrideAnchors(sizes, RATIOS, strides)}
    else:
        sizes = [[round(side)] for side in sides]
        parts = {"rpn_anchor_generator": StrideAnchors(sizes, RATIOS, strides)}
        parts["box_roi_pool"] = RegionPool(backbone.strides, 7)
    if config.detector == "maskrcnn":
        parts["mask_roi_pool"] = RegionPool(backbone.strides, 14)
    model = _assemble(_CLASSES[config.detector], backbone, ours, parts)
    model.config = config
    return model


def _split(options: Mapping[str, Any], variant: str | ModelConfig) -> tuple[DetectorOptions, dict[str, Any]]:
    found, overrides = split_options(DetectorOptions, options, variant, what="the detector")
    if found.num_classes < 1:
        raise ValueError(f"num_classes must be at least 1 (background is not counted), got {found.num_classes}.")
    return found, overrides


def split_options(
    kind: type[Options], options: Mapping[str, Any], variant: str | ModelConfig, *, what: str
) -> tuple[Options, dict[str, Any]]:
    """Divide the options of a builder into those of a dataclass, which needs `num_classes`, and those of the backbone.

    Raises:
        TypeError: If an option is unknown, or `num_classes` is missing.
    """
    ours, theirs = {f.name for f in fields(kind)}, backbones.option_names(variant)
    unknown = sorted(options.keys() - ours - theirs)
    if unknown:
        named = ours | theirs - {"image_size", "head_channels", "dropout"}  # these belong to the removed classifier
        told = choose("".join(unknown[:1]), sorted(named), verb="choose from")
        raise TypeError(f"Unknown options of {what}: {', '.join(unknown)}{told}.")
    if "num_classes" not in options:
        raise TypeError(f"num_classes is missing: pass the number of classes of {what}.")
    own = kind(**{name: value for name, value in options.items() if name in ours})
    return own, {name: value for name, value in options.items() if name not in ours}


def _assemble(kind: type[Any], backbone: PyramidFeatures, ours: DetectorOptions, parts: Mapping[str, nn.Module]) -> Any:
    options = dict(ours.detector or {})
    taken = {"backbone", "num_classes", "min_size", "max_size", "image_mean", "image_std", "kwargs", "self"}
    valid = inspect.signature(kind.__init__).parameters.keys() - taken
    unknown = sorted(options.keys() - valid)
    if unknown:
        raise TypeError(
            f"detector={{...}} has options that {kind.__name__} does not support ({', '.join(unknown)})"
            f"{choose(unknown[0], sorted(valid), verb='choose from')}."
        )
    config = backbone.body.config
    mean, std = statistics_of(config, config.in_channels)
    model: Any = kind(backbone, ours.num_classes + 1, **{**parts, **options})
    model.transform = DetectionTransform(
        ours.min_size,
        ours.max_size,
        _of_channels("image_mean", ours.image_mean, mean, config.in_channels),
        _of_channels("image_std", ours.image_std, std, config.in_channels),
        divisor=backbone.divisor,
        smallest=config.patch_size,
    )
    for part in [model.head] if kind is RetinaNet else [model.rpn.head, *model.roi_heads.children()]:
        part.register_forward_hook(_in_float32)
    return model


def _in_float32(_: nn.Module, __: Any, out: Any) -> Any:
    """Convert the outputs of a head to float32, since bfloat16 is not exact for coordinates above 256."""
    if isinstance(out, Tensor):
        return out.float() if out.dtype in (torch.bfloat16, torch.float16) else out
    if isinstance(out, dict):
        return {name: _in_float32(_, __, part) for name, part in out.items()}
    return type(out)(_in_float32(_, __, part) for part in out) if isinstance(out, (list, tuple)) else out


def _of_channels(name: str, given: Sequence[float] | None, usual: Statistic, channels: int) -> Sequence[float]:
    values = each_channel(usual, channels) if given is None else given
    if len(values) != channels:
        raise ValueError(f"{name} needs one number for each of the {channels} channels, got {tuple(values)}.")
    return values
