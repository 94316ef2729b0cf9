"""Backbones of detectors and of segmentation networks: every model with a feature map for each of several scales."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vig_pyg import weights
from vig_pyg._io.names import choose
from vig_pyg._io.schema import choice
from vig_pyg._io.text import terminal_text
from vig_pyg._trained_backbone import is_trained_model, load_trained
from vig_pyg.artifact import describe_config
from vig_pyg.config import MODELS, PYRAMID_VIG_VARIANTS, ModelConfig, PyramidViGConfig
from vig_pyg.config_schema import model_options
from vig_pyg.graph import each_graph
from vig_pyg.models.base import VisionGNN
from vig_pyg.models.read_model import find_family
from vig_pyg.models.variants import family_of

#: Prefix of the names of Pyramid ViG models, which may be omitted for a backbone.
PREFIX = "pvig_"
#: Options of the classifier that a backbone refuses; the others, such as `dropout`, have no effect.
OF_CLASSIFIER = frozenset({"num_classes", "distillation"})
#: The end of a message about an unknown option of a network with a backbone, whose options are valid too.
ALSO = ", or an option of the backbone, such as drop_path_rate"


def is_pyramid(config: ModelConfig) -> bool:
    """True if a model has stages, and therefore a width for each of them.

    Args:
        config: The configuration.

    Example:
        >>> is_pyramid(MODELS["pvig_tiny"]), is_pyramid(MODELS["vig_tiny"])
        (True, False)
    """
    return isinstance(getattr(config, "channels", None), tuple)


def backbone_names() -> list[str]:
    """Return the names of all backbones: the short names of Pyramid ViG, then the names of all registered pyramids.

    Example:
        >>> backbone_names()[:6]
        ['micro', 'tiny', 'small', 'medium', 'base', 'pvig_micro']
    """
    return [*PYRAMID_VIG_VARIANTS, *(name for name, config in MODELS.items() if is_pyramid(config))]


def check_backbone(value: Any, where: str) -> str:
    """Return the name of a backbone if it is one.

    Args:
        value: The name.
        where: Name of the entry for the error.

    Raises:
        ValueError: If there is no backbone with this name.

    Example:
        >>> check_backbone("greedyvig_small", "config.yaml: model")
        'greedyvig_small'
    """
    return str(choice(backbone_names())(value, where))


def short_name(name: str) -> str:
    """Return the name of a variant of Pyramid ViG without its prefix, and any other name unchanged.

    Args:
        name: The name of a model.

    Example:
        >>> short_name("pvig_tiny"), short_name("mobilevig_tiny")
        ('tiny', 'mobilevig_tiny')
    """
    return name.removeprefix(PREFIX) if name.removeprefix(PREFIX) in PYRAMID_VIG_VARIANTS else name


def option_names(variant: str | ModelConfig | None = None) -> set[str]:
    """Return the names of the options of a backbone, without those of the classifier.

    Args:
        variant: The name or the configuration of a backbone; `None` for the options of all backbones.

    Example:
        >>> "hops" in option_names("greedyvig_small"), "hops" in option_names("tiny")
        (True, False)
    """
    pyramids = [config for config in MODELS.values() if is_pyramid(config)]
    return {f.name for one in (pyramids if variant is None else [_base(variant)]) for f in fields(one)} - OF_CLASSIFIER


def split_options(options: Mapping[str, Any], beside: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide options into those of a backbone, of any family, and the rest.

    Args:
        options: The options.
        beside: Names that belong to the rest, although a backbone may have them too.

    Example:
        >>> split_options({"k": 9, "hops": (4, 2), "out_channels": 64}, ["out_channels"])
        ({'k': 9, 'hops': (4, 2)}, {'out_channels': 64})
    """
    names = option_names() - set(beside)
    parts: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name, value in options.items():
        parts[name not in names][name] = value
    return parts


def check_options(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check the types and bounds of options; whether the model has these options is checked by `backbone_config`.

    Args:
        value: The options, each of which is an option of some backbone.
        where: Name of the options for error messages.

    Raises:
        ValueError: If an option is unknown or out of range.

    Example:
        >>> check_options({"hops": [4, 2], "position": "grid"}, "config.yaml: options")
        {'hops': (4, 2), 'position': 'grid'}
    """
    families: dict[str, type[ModelConfig]] = {}
    for config in MODELS.values():
        if is_pyramid(config):
            families = {**dict.fromkeys((f.name for f in fields(config)), type(config)), **families}
    found: dict[str, Any] = {}
    for name, one in value.items():
        found |= model_options(families.get(name, PyramidViGConfig))({name: one}, where)
    return found


def backbone_config(variant: str | ModelConfig, overrides: Mapping[str, Any]) -> Any:
    """Return the configuration of a backbone without a classifier.

    Unlike for a classifier, the default of `position` is `"grid"`, which is exact at any size, and that of `knn_engine`
    is `"dense"`, which needs no n x m matrix if sizes differ, and is faster than torch_cluster.

    Args:
        variant: A name from `backbone_names()`, or the configuration of a pyramid.
        overrides: Fields of the configuration to change.

    Raises:
        TypeError: If `variant` is neither a name nor the configuration of a pyramid, or an option does not exist.
        ValueError: If the name is unknown or the value of an option is out of range.

    Example:
        >>> config = backbone_config("greedyvig_small", {"channels": (16, 24, 32, 48)})
        >>> config.channels, config.num_classes
        ((16, 24, 32, 48), 0)
    """
    base = _base(variant)
    if any(graph in (None, "knn") for graph in each_graph(overrides.get("graph", base.graph))):
        usual = {"position": "grid", "knn_engine": "dense"}
        names = {f.name for f in fields(base)}
        overrides = {**{name: value for name, value in usual.items() if name in names}, **overrides}
    return base.override({**overrides, "num_classes": 0})


def checked_config(model: str, options: Mapping[str, Any]) -> Any:
    """Return the configuration of a backbone from the values of a file or a command line.

    Args:
        model: The checked name.
        options: The checked options of the backbone.

    Raises:
        ValueError: If the backbone does not have an option, or values contradict each other.

    Example:
        >>> checked_config("mobilevig_tiny", {"depths": (1, 1)})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: options: mobilevig_tiny has no option depths. Did you mean 'local_depths'? Choose from ...
    """
    known = option_names(model)
    if unknown := sorted(options.keys() - known):
        told = choose(unknown[0], sorted(known), verb="choose from")
        raise ValueError(f"options: {model} has no option {', '.join(unknown)}{told}.")
    return backbone_config(model, options)


def build(config: ModelConfig) -> VisionGNN[Any]:
    """Create the backbone of a configuration with random weights.

    Args:
        config: The configuration.

    Example:
        >>> type(build(backbone_config("micro", {}))).__name__
        'PyramidViG'
    """
    model: VisionGNN[Any] = family_of(config)(config)
    return model


def load_weights(
    body: VisionGNN[Any], source: weights.Source | None, variant: str | ModelConfig, overrides: Mapping[str, Any]
) -> None:
    """Load classification weights into a backbone.

    Args:
        body: The backbone, which is changed in place.
        source: The name of published weights, such as `"imagenet1k"`, any source of `vig_pyg.weights.load_weights`, a
            trained classifier (its folder, or its name on the Hugging Face hub), or `None`, which changes nothing. For
            the later families, `"imagenet1k"` selects the averaged weights, with which their authors start detectors
            and segmentation networks.
        variant: The name or the configuration from which the backbone was created.
        overrides: The options that were changed, which may differ from those of the weights.

    Raises:
        ValueError: If the weights do not fit.

    Example:
        >>> load_weights(build(backbone_config("micro", {})), None, "micro", {})
    """
    averaged = isinstance(source, str) and source == weights.TAGS[0]
    if averaged and f"{variant}:{weights.AVERAGED}" in weights.TABLE:
        source = weights.AVERAGED  # as the authors of the later families do for other tasks
    changed: dict[str, Any] = {"position": "grid", **overrides}
    if isinstance(source, str) and source in (*weights.TAGS, weights.AVERAGED):
        published = changed if isinstance(variant, str) else vars(body.config)
        weights.load_published(body, source, overridden=published, of_backbone=True)
    elif isinstance(source, str | Path) and is_trained_model(source):
        load_trained(body, source, changed=changed)
    elif source is not None:
        weights.load_weights(body, source, overridden=changed, of_backbone=True)


def describe(config: ModelConfig) -> dict[str, Any]:
    """Return the entry `backbone` of `config.json`; the family is left out if it is Pyramid ViG.

    Args:
        config: The configuration of the backbone.

    Example:
        >>> describe(backbone_config("mobilevig_tiny", {}))["family"]
        'MobileViG'
    """
    family = {} if type(config) is PyramidViGConfig else {"family": family_of(config).__name__}
    return {**family, **describe_config(config)}


def read(value: Any, where: str) -> Any:
    """Return the configuration that an entry `backbone` of `config.json` describes.

    Args:
        value: The entry.
        where: Name of the entry for error messages.

    Raises:
        ValueError: If the family is unknown or is not a pyramid, or an option is unknown or out of range.

    Example:
        >>> read(describe(backbone_config("mobilevig_tiny", {})), "config.json: model: backbone").channels
        (42, 84, 168, 256)
    """
    kind: type[ModelConfig] = PyramidViGConfig
    if isinstance(value, dict) and "family" in value:
        try:
            kind = find_family(VisionGNN, str(value["family"])).config_class
        except (ValueError, AttributeError) as error:
            shown = terminal_text(value["family"], limit=80)
            raise ValueError(f"{where}: unknown family {shown!r}: import the module that defines it first.") from error
        value = {name: one for name, one in value.items() if name != "family"}
    config = kind(**model_options(kind)(value, where))
    if not is_pyramid(config):
        raise ValueError(
            f"{where}: a {kind.__name__.removesuffix('Config')} has a single scale, so it cannot be a backbone."
        )
    return config


def _base(variant: str | ModelConfig) -> ModelConfig:
    if isinstance(variant, str):
        names = backbone_names()
        if variant not in names:
            raise ValueError(f"Unknown backbone {variant!r}{choose(variant, names)}.")
        return PYRAMID_VIG_VARIANTS[variant] if variant in PYRAMID_VIG_VARIANTS else MODELS[variant]
    if not isinstance(variant, ModelConfig) or not is_pyramid(variant):
        raise TypeError(
            "A backbone needs the name of a model or a configuration with a width for each stage, such as a "
            f"PyramidViGConfig, got {variant!r}."
        )
    return variant
