"""Object detection and instance segmentation: torchvision's detectors with PyramidViG as the backbone.

The detectors need only the core packages. Training, evaluation and prediction (`vig_pyg.engine.fit` with
`vig_pyg.detection.loading`) need the extras `train` and `detection`.
"""

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
