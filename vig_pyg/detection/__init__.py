"""Object detection and instance segmentation: torchvision's detectors on a pyramid, such as `PyramidViG`.

The detectors need only the core packages. Training, evaluation and prediction (`vig_pyg.engine.fit` with
`vig_pyg.detection.loading`) need the extras `train` and `detection`.
"""

from typing import TYPE_CHECKING

from vig_pyg._lazy import imports_when_used, names_of

if TYPE_CHECKING:
    from vig_pyg.detection.backbone import PyramidFeatures
    from vig_pyg.detection.builders import DETECTORS, DetectorOptions, fasterrcnn_pvig, maskrcnn_pvig, retinanet_pvig
    from vig_pyg.detection.norm import FrozenBatchNorm
    from vig_pyg.detection.transform import DetectionTransform, RaggedImages

__all__ = [
    "DETECTORS",
    "DetectionTransform",
    "DetectorOptions",
    "FrozenBatchNorm",
    "PyramidFeatures",
    "RaggedImages",
    "fasterrcnn_pvig",
    "maskrcnn_pvig",
    "retinanet_pvig",
]

#: The public names of each module.
_MODULES = {
    "vig_pyg.detection.backbone": ("PyramidFeatures",),
    "vig_pyg.detection.builders": (
        "DETECTORS",
        "DetectorOptions",
        "fasterrcnn_pvig",
        "maskrcnn_pvig",
        "retinanet_pvig",
    ),
    "vig_pyg.detection.norm": ("FrozenBatchNorm",),
    "vig_pyg.detection.transform": ("DetectionTransform", "RaggedImages"),
}

__getattr__ = imports_when_used(__name__, _MODULES)


def __dir__() -> list[str]:
    return names_of(globals())
