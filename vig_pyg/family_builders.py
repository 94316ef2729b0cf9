"""Builder functions of MobileViG, GreedyViG, MobileViGv2 and WiGNet.

The numbers of parameters are for one output layer, the default; published networks with a teacher have two.
"""

from __future__ import annotations

from typing import Any, TypeVar

from vig_pyg.builders import create_model
from vig_pyg.models import GreedyViG, MobileViG, MobileViGv2, VisionGNN, WiGNet

Model = TypeVar("Model", bound=VisionGNN[Any])


def _create(family: type[Model], name: str, overrides: dict[str, Any]) -> Model:
    model = create_model(name, **overrides)
    assert isinstance(model, family)
    return model


def mobilevig_tiny(**overrides: Any) -> MobileViG:
    """Create MobileViG-Ti, which has 4.8 M parameters (arXiv 2307.00395).

    Args:
        overrides: Fields of `MobileViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevig_tiny(num_classes=10).num_features
        256
    """
    return _create(MobileViG, "mobilevig_tiny", overrides)


def mobilevig_small(**overrides: Any) -> MobileViG:
    """Create MobileViG-S, which has 6.8 M parameters (arXiv 2307.00395).

    Args:
        overrides: Fields of `MobileViGConfig` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevig_small(num_classes=10).num_features
        256
    """
    return _create(MobileViG, "mobilevig_small", overrides)


def mobilevig_medium(**overrides: Any) -> MobileViG:
    """Create MobileViG-M, which has 13.3 M parameters (arXiv 2307.00395).

    Args:
        overrides: Fields of `MobileViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevig_medium(num_classes=10).num_features
        400
    """
    return _create(MobileViG, "mobilevig_medium", overrides)


def mobilevig_base(**overrides: Any) -> MobileViG:
    """Create MobileViG-B, which has 26.1 M parameters (arXiv 2307.00395).

    Args:
        overrides: Fields of `MobileViGConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevig_base(num_classes=10).num_features
        464
    """
    return _create(MobileViG, "mobilevig_base", overrides)


def greedyvig_small(**overrides: Any) -> GreedyViG:
    """Create GreedyViG-S, which has 11.2 M parameters (arXiv 2405.06849).

    Args:
        overrides: Fields of `GreedyViGConfig` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> greedyvig_small(num_classes=10).num_features
        384
    """
    return _create(GreedyViG, "greedyvig_small", overrides)


def greedyvig_medium(**overrides: Any) -> GreedyViG:
    """Create GreedyViG-M, which has 21.2 M parameters (arXiv 2405.06849).

    Args:
        overrides: Fields of `GreedyViGConfig` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> greedyvig_medium(num_classes=10).num_features
        448
    """
    return _create(GreedyViG, "greedyvig_medium", overrides)


def greedyvig_base(**overrides: Any) -> GreedyViG:
    """Create GreedyViG-B, which has 30.1 M parameters (arXiv 2405.06849).

    Args:
        overrides: Fields of `GreedyViGConfig` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> greedyvig_base(num_classes=10).num_features
        512
    """
    return _create(GreedyViG, "greedyvig_base", overrides)


def mobilevigv2_tiny(**overrides: Any) -> MobileViGv2:
    """Create MobileViGv2-Ti, which has 5.2 M parameters (arXiv 2406.05850).

    Args:
        overrides: Fields of `MobileViGv2Config` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevigv2_tiny(num_classes=10).num_features
        256
    """
    return _create(MobileViGv2, "mobilevigv2_tiny", overrides)


def mobilevigv2_small(**overrides: Any) -> MobileViGv2:
    """Create MobileViGv2-S, which has 7.3 M parameters (arXiv 2406.05850).

    Args:
        overrides: Fields of `MobileViGv2Config` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevigv2_small(num_classes=10).num_features
        256
    """
    return _create(MobileViGv2, "mobilevigv2_small", overrides)


def mobilevigv2_medium(**overrides: Any) -> MobileViGv2:
    """Create MobileViGv2-M, which has 15.0 M parameters (arXiv 2406.05850).

    Args:
        overrides: Fields of `MobileViGv2Config` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevigv2_medium(num_classes=10).num_features
        384
    """
    return _create(MobileViGv2, "mobilevigv2_medium", overrides)


def mobilevigv2_base(**overrides: Any) -> MobileViGv2:
    """Create MobileViGv2-B, which has 27.1 M parameters (arXiv 2406.05850).

    Args:
        overrides: Fields of `MobileViGv2Config` to change, and `weights="imagenet1k"` for the published weights
            (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> mobilevigv2_base(num_classes=10).num_features
        512
    """
    return _create(MobileViGv2, "mobilevigv2_base", overrides)


def wignet_tiny(**overrides: Any) -> WiGNet:
    """Create WiGNet-Ti, which has 10.8 M parameters (arXiv 2410.00807).

    Args:
        overrides: Fields of `WiGNetConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> wignet_tiny(num_classes=10).num_features
        384
    """
    return _create(WiGNet, "wignet_tiny", overrides)


def wignet_small(**overrides: Any) -> WiGNet:
    """Create WiGNet-S, which has 27.3 M parameters (arXiv 2410.00807).

    Args:
        overrides: Fields of `WiGNetConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> wignet_small(num_classes=10).num_features
        640
    """
    return _create(WiGNet, "wignet_small", overrides)


def wignet_medium(**overrides: Any) -> WiGNet:
    """Create WiGNet-M, which has 49.6 M parameters (arXiv 2410.00807).

    Args:
        overrides: Fields of `WiGNetConfig` to change (see `create_model`).

    Shapes: as for `create_model`.

    Raises:
        ValueError, TypeError, ConnectionError: As for `create_model`.

    Example:
        >>> wignet_medium(num_classes=10).num_features
        768
    """
    return _create(WiGNet, "wignet_medium", overrides)
