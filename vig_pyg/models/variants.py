"""Lookup of the configuration of a variant, and of the model class of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from vig_pyg._io.names import choose
from vig_pyg.config import ModelConfig
from vig_pyg.models.base import VisionGNN

ConfigT = TypeVar("ConfigT", bound=ModelConfig)


def resolve_config(
    variant: str | ConfigT, variants: Mapping[str, ConfigT], family: type, overrides: Mapping[str, Any]
) -> ConfigT:
    """Return the configuration of a named variant, or the given configuration, with overrides applied.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> resolve_config("tiny", VIG_VARIANTS, object, {"k": 3}).k
        3
    """
    if "weights" in overrides:
        raise TypeError(
            f"{family.__name__}(...) has no option 'weights', because a constructor downloads nothing: "
            "vig_pyg.create_model(name, weights=...) creates a model with weights, and "
            "vig_pyg.weights.load_weights(model, ...) loads them into one."
        )
    if isinstance(variant, str):
        if variant not in variants:
            raise ValueError(f"Unknown variant {variant!r} of {family.__name__}{choose(variant, variants)}.")
        return variants[variant].override(overrides)
    expected = type(next(iter(variants.values())))
    if not isinstance(variant, expected):
        raise TypeError(f"{family.__name__} needs the name of a variant or a {expected.__name__}, got {variant!r}.")
    return variant.override(overrides)


def family_of(config: ModelConfig) -> Any:
    """Return the model class of a configuration: the subclass of `VisionGNN` whose `config_class` is its type.

    Args:
        config: The configuration.

    Raises:
        TypeError: If there is no such class.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> family_of(VIG_VARIANTS["tiny"]).__name__
        'ViG'
    """
    families: list[Any] = list(VisionGNN.__subclasses__())
    for family in families:
        if vars(family).get("config_class") is type(config):
            return family
        families += family.__subclasses__()
    if not isinstance(config, ModelConfig):
        kind = type(config).__name__
        raise TypeError(f"Expected the name of a model, or a configuration such as ViGConfig(...), got {kind}.")
    raise TypeError(f"No subclass of VisionGNN has config_class = {type(config).__name__}: define it first.")
