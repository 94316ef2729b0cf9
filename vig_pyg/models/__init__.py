"""The model classes, such as `ViG` and `PyramidViG`, their configurations, and their base class `VisionGNN`."""

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)
from vig_pyg.config import ModelConfig, PyramidViGConfig, ViGConfig
from vig_pyg.family_config import GreedyViGConfig, HybridViGConfig, MobileViGConfig, MobileViGv2Config, WiGNetConfig
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.hybrid_vig import GreedyViG, HybridViG, MobileViG, MobileViGv2
from vig_pyg.models.pyramid_vig import PyramidViG
from vig_pyg.models.variants import family_of
from vig_pyg.models.vig import ViG
from vig_pyg.models.wignet import WiGNet

__all__ = [
    "GreedyViG",
    "GreedyViGConfig",
    "HybridViG",
    "HybridViGConfig",
    "MobileViG",
    "MobileViGConfig",
    "MobileViGv2",
    "MobileViGv2Config",
    "ModelConfig",
    "PyramidViG",
    "PyramidViGConfig",
    "ViG",
    "ViGConfig",
    "VisionGNN",
    "WiGNet",
    "WiGNetConfig",
    "family_of",
]
