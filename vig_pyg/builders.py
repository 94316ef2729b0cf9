"""Models by name, with published weights where they are wanted: builders download, constructors never do."""

from __future__ import annotations

from typing import Any

from vig_pyg.config import MODELS, ModelConfig, variant_config
from vig_pyg.models import PyramidViG, ViG, VisionGNN, family_of
from vig_pyg.weights import Weights, load_published


def list_models(filter: str | None = None) -> list[str]:
    """Names that `create_model` knows.

    Args:
        filter: A pattern with `*` and `?`; all names by default.

    Example:
        >>> list_models("pvig*")
        ['pvig_micro', 'pvig_tiny', 'pvig_small', 'pvig_medium', 'pvig_base']
    """
    return MODELS.names(filter)


def create_model(name: str | ModelConfig, *, weights: str | Weights | None = None, **overrides: Any) -> VisionGNN[Any]:
    """A model from its name.

    Args:
        name: A name of `list_models()`, or a configuration.
        weights: Published weights, downloaded once and checked: `"imagenet1k"` (the official file),
            `"imagenet1k:mmpretrain"`, or an entry of `vig_pyg.weights`. Random weights by default.
        overrides: Fields of its configuration to change, such as `num_classes`, `in_channels`, `conv`, `k`.

    Raises:
        ValueError: If the name is unknown, or there are no such weights.
        TypeError: If an option is unknown.
        ConnectionError: If the weights cannot be downloaded.

    Example:
        >>> create_model("pvig_micro", num_classes=0).num_features
        96
    """
    config = variant_config(name) if isinstance(name, str) else name
    model: VisionGNN[Any] = family_of(config)(config, **overrides)
    if weights is not None:
        load_published(model, weights, overridden=overrides if isinstance(name, str) else vars(model.config))
    return model


def vig_micro(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """ViG of four blocks for small images."""
    model = create_model("vig_micro", weights=weights, **overrides)
    assert isinstance(model, ViG)
    return model


def vig_tiny(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """ViG-Ti: 7.2 M parameters."""
    model = create_model("vig_tiny", weights=weights, **overrides)
    assert isinstance(model, ViG)
    return model


def vig_small(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """ViG-S: 22.7 M parameters."""
    model = create_model("vig_small", weights=weights, **overrides)
    assert isinstance(model, ViG)
    return model


def vig_base(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """ViG-B: 86.8 M parameters."""
    model = create_model("vig_base", weights=weights, **overrides)
    assert isinstance(model, ViG)
    return model


def pvig_micro(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Pyramid ViG of five blocks for small images."""
    model = create_model("pvig_micro", weights=weights, **overrides)
    assert isinstance(model, PyramidViG)
    return model


def pvig_tiny(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Pyramid ViG-Ti: 10.7 M parameters."""
    model = create_model("pvig_tiny", weights=weights, **overrides)
    assert isinstance(model, PyramidViG)
    return model


def pvig_small(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Pyramid ViG-S: 27.3 M parameters."""
    model = create_model("pvig_small", weights=weights, **overrides)
    assert isinstance(model, PyramidViG)
    return model


def pvig_medium(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Pyramid ViG-M: 49.5 M parameters."""
    model = create_model("pvig_medium", weights=weights, **overrides)
    assert isinstance(model, PyramidViG)
    return model


def pvig_base(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Pyramid ViG-B: 93.0 M parameters."""
    model = create_model("pvig_base", weights=weights, **overrides)
    assert isinstance(model, PyramidViG)
    return model
