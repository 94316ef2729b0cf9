"""Models by name."""

from __future__ import annotations

from typing import Any

from vig_pyg.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.pyramid_vig import PyramidViG
from vig_pyg.models.vig import ViG


def list_models() -> list[str]:
    """Names that `create_model` knows.

    Example:
        >>> list_models()[:2]
        ['vig_micro', 'vig_tiny']
    """
    return [f"vig_{v}" for v in VIG_VARIANTS] + [f"pvig_{v}" for v in PYRAMID_VIG_VARIANTS]


def create_model(name: str, **overrides: Any) -> VisionGNN[Any]:
    """A model from its name.

    Args:
        name: One of `list_models()`.
        overrides: Fields of its configuration to change.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If an option is unknown.

    Example:
        >>> create_model("pvig_micro", num_classes=0).num_features
        96
    """
    if name not in list_models():
        raise ValueError(f"Unknown model {name!r}: choose one of {', '.join(list_models())}.")
    family, variant = name.split("_")
    return ViG(variant, **overrides) if family == "vig" else PyramidViG(variant, **overrides)


def vig_micro(**overrides: Any) -> ViG:
    """ViG of four blocks for small images."""
    return ViG("micro", **overrides)


def vig_tiny(**overrides: Any) -> ViG:
    """ViG-Ti: 7.2 M parameters."""
    return ViG("tiny", **overrides)


def vig_small(**overrides: Any) -> ViG:
    """ViG-S: 22.7 M parameters."""
    return ViG("small", **overrides)


def vig_base(**overrides: Any) -> ViG:
    """ViG-B: 86.8 M parameters."""
    return ViG("base", **overrides)


def pvig_micro(**overrides: Any) -> PyramidViG:
    """Pyramid ViG of five blocks for small images."""
    return PyramidViG("micro", **overrides)


def pvig_tiny(**overrides: Any) -> PyramidViG:
    """Pyramid ViG-Ti: 10.7 M parameters."""
    return PyramidViG("tiny", **overrides)


def pvig_small(**overrides: Any) -> PyramidViG:
    """Pyramid ViG-S: 27.3 M parameters."""
    return PyramidViG("small", **overrides)


def pvig_medium(**overrides: Any) -> PyramidViG:
    """Pyramid ViG-M: 49.5 M parameters."""
    return PyramidViG("medium", **overrides)


def pvig_base(**overrides: Any) -> PyramidViG:
    """Pyramid ViG-B: 93.0 M parameters."""
    return PyramidViG("base", **overrides)
