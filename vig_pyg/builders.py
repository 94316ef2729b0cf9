"""Functions that create a model by name and, with `weights=`, load published weights.

Builders may download weights; the constructors of the model classes never do.
"""

from __future__ import annotations

from typing import Any, TypeVar

from vig_pyg.config import MODELS, ModelConfig, variant_config
from vig_pyg.models import PyramidViG, ViG, VisionGNN, family_of
from vig_pyg.weights import Weights, load_published

Model = TypeVar("Model", ViG, PyramidViG)


def list_models(filter: str | None = None) -> list[str]:
    """List the model names that `create_model` accepts.

    Args:
        filter: A pattern with the wildcards `*` and `?`; by default all names are listed.

    Example:
        >>> list_models("pvig*")
        ['pvig_micro', 'pvig_tiny', 'pvig_small', 'pvig_medium', 'pvig_base']
    """
    return MODELS.names(filter)


def create_model(name: str | ModelConfig, *, weights: str | Weights | None = None, **overrides: Any) -> VisionGNN[Any]:
    """Create a model from its name or from a configuration.

    Args:
        name: A name from `list_models()`, or a configuration such as a `ViGConfig` or a `PyramidViGConfig`.
        weights: Published weights to load: `"imagenet1k"` (the official file), `"imagenet1k:mmpretrain"`,
            `"imagenet1k:ema"` (the averaged weights of a later family), or an entry of `vig_pyg.weights`. The file is
            downloaded once, verified by its hash, and cached. By default the weights are random.
        overrides: Fields of the configuration to change, such as `num_classes`, `in_channels`, `conv` or `k`.

    Returns:
        A model of the family of the name or configuration, such as a `ViG`, in training mode.

    Shapes: the model maps images `(B, in_channels, H, W)` to logits `(B, num_classes)`.

    Raises:
        ValueError: If the name or the value of an option is unknown, or no such weights were published.
        TypeError: If an option does not exist.
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


def _create(family: type[Model], name: str, weights: str | Weights | None, overrides: dict[str, Any]) -> Model:
    model = create_model(name, weights=weights, **overrides)
    assert isinstance(model, family)
    return model


def vig_micro(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """Create ViG-micro, a ViG with four blocks for small images; no weights are published for it.

    Args:
        weights: No weights are published for this model, so only `None` is valid.
        overrides: Fields of `ViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> vig_micro(num_classes=10).num_features
        64
    """
    return _create(ViG, "vig_micro", weights, overrides)


def vig_tiny(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """Create ViG-Ti, which has 7.2 M parameters (arXiv 2206.00272, table 1).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `ViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> vig_tiny(num_classes=10, depth=2).num_features
        192
    """
    return _create(ViG, "vig_tiny", weights, overrides)


def vig_small(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """Create ViG-S, which has 22.7 M parameters (arXiv 2206.00272, table 1).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `ViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> vig_small(num_classes=10, depth=2).num_features
        320
    """
    return _create(ViG, "vig_small", weights, overrides)


def vig_base(*, weights: str | Weights | None = None, **overrides: Any) -> ViG:
    """Create ViG-B, which has 86.8 M parameters (arXiv 2206.00272, table 1).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `ViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> vig_base(num_classes=10, depth=2).num_features
        640
    """
    return _create(ViG, "vig_base", weights, overrides)


def pvig_micro(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Create Pyramid ViG-micro, a Pyramid ViG with five blocks for small images; no weights are published for it.

    Args:
        weights: No weights are published for this model, so only `None` is valid.
        overrides: Fields of `PyramidViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> pvig_micro(num_classes=10).num_features
        96
    """
    return _create(PyramidViG, "pvig_micro", weights, overrides)


def pvig_tiny(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Create Pyramid ViG-Ti, which has 10.7 M parameters (arXiv 2206.00272, table 2).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `PyramidViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> pvig_tiny(num_classes=10, depths=(1, 1, 1, 1)).num_features
        384
    """
    return _create(PyramidViG, "pvig_tiny", weights, overrides)


def pvig_small(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Create Pyramid ViG-S, which has 27.3 M parameters (arXiv 2206.00272, table 2).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `PyramidViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> pvig_small(num_classes=10, depths=(1, 1, 1, 1)).num_features
        640
    """
    return _create(PyramidViG, "pvig_small", weights, overrides)


def pvig_medium(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Create Pyramid ViG-M, which has 49.5 M parameters (arXiv 2206.00272, table 2).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `PyramidViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> pvig_medium(num_classes=10, depths=(1, 1, 1, 1)).num_features
        768
    """
    return _create(PyramidViG, "pvig_medium", weights, overrides)


def pvig_base(*, weights: str | Weights | None = None, **overrides: Any) -> PyramidViG:
    """Create Pyramid ViG-B, which has 93.0 M parameters (arXiv 2206.00272, table 2).

    Args:
        weights: Published weights to load, such as `"imagenet1k"`; random by default (see `create_model`).
        overrides: Fields of `PyramidViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> pvig_base(num_classes=10, depths=(1, 1, 1, 1)).num_features
        1024
    """
    return _create(PyramidViG, "pvig_base", weights, overrides)
