"""Semantic segmentation: Semantic FPN and UPerNet with PyramidViG as the backbone.

The networks need only the core packages. Training and evaluation (`vig_pyg.engine.fit` with
`vig_pyg.segmentation.loading`) need the extra `train`; COCO's formats need the extra `detection`.
"""

from vig_pyg.segmentation.builders import SEGMENTERS, SegmenterOptions, semantic_fpn_pvig, upernet_pvig
from vig_pyg.segmentation.heads import SemanticFPN, UPerHead
from vig_pyg.segmentation.infer import Inference
from vig_pyg.segmentation.load import SemanticSegmenter
from vig_pyg.segmentation.preprocess import SegmentationPreprocessing
from vig_pyg.segmentation.segmenter import Segmenter

__all__ = [
    "SEGMENTERS",
    "Inference",
    "SegmentationPreprocessing",
    "Segmenter",
    "SegmenterOptions",
    "SemanticFPN",
    "SemanticSegmenter",
    "UPerHead",
    "semantic_fpn_pvig",
    "upernet_pvig",
]
