"""Semantic segmentation: Semantic FPN and UPerNet on a pyramid, such as `PyramidViG`.

The networks need only the core packages. Training and evaluation (`vig_pyg.engine.fit` with
`vig_pyg.segmentation.loading`) need the extra `train`; COCO's formats need the extra `detection`.
"""

from typing import TYPE_CHECKING

from vig_pyg._lazy import imports_when_used, names_of

if TYPE_CHECKING:
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

#: The public names of each module.
_MODULES = {
    "vig_pyg.segmentation.builders": ("SEGMENTERS", "SegmenterOptions", "semantic_fpn_pvig", "upernet_pvig"),
    "vig_pyg.segmentation.heads": ("SemanticFPN", "UPerHead"),
    "vig_pyg.segmentation.infer": ("Inference",),
    "vig_pyg.segmentation.load": ("SemanticSegmenter",),
    "vig_pyg.segmentation.preprocess": ("SegmentationPreprocessing",),
    "vig_pyg.segmentation.segmenter": ("Segmenter",),
}

__getattr__ = imports_when_used(__name__, _MODULES)


def __dir__() -> list[str]:
    return names_of(globals())
