"""The model classes: isotropic `ViG` and `PyramidViG`, and their base class `VisionGNN`."""

from vig_pyg.config import ModelConfig, PyramidViGConfig, ViGConfig
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.pyramid_vig import PyramidViG
from vig_pyg.models.variants import family_of
from vig_pyg.models.vig import ViG

__all__ = ["ModelConfig", "PyramidViG", "PyramidViGConfig", "ViG", "ViGConfig", "VisionGNN", "family_of"]
