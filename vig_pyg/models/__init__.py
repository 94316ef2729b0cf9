"""The two families of Vision GNN and the table of their variants."""

from vig_pyg.config import ModelConfig, PyramidViGConfig, ViGConfig
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.pyramid_vig import PyramidViG
from vig_pyg.models.registry import (
    create_model,
    list_models,
    pvig_base,
    pvig_medium,
    pvig_micro,
    pvig_small,
    pvig_tiny,
    vig_base,
    vig_micro,
    vig_small,
    vig_tiny,
)
from vig_pyg.models.vig import ViG

__all__ = [
    "ModelConfig",
    "PyramidViG",
    "PyramidViGConfig",
    "ViG",
    "ViGConfig",
    "VisionGNN",
    "create_model",
    "list_models",
    "pvig_base",
    "pvig_medium",
    "pvig_micro",
    "pvig_small",
    "pvig_tiny",
    "vig_base",
    "vig_micro",
    "vig_small",
    "vig_tiny",
]
