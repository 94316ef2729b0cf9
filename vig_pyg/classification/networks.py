"""Creation of networks by name, for the command line; `vig_pyg.engine.fit` accepts any network."""

from __future__ import annotations

import logging
import math
from dataclasses import fields
from typing import Any

import lightning

from vig_pyg._io.numbers import counted
from vig_pyg.builders import create_model
from vig_pyg.classification.data import ImageData
from vig_pyg.config import variant_config
from vig_pyg.config_schema import check_size, options_of
from vig_pyg.conv import resolve_conv
from vig_pyg.graph import each_graph, resolve_graph
from vig_pyg.models import VisionGNN

_log = logging.getLogger(__name__)


def check_names(name: str, options: dict[str, Any]) -> None:
    """Raise `ValueError` for an unknown model, operator or graph, before the slow reading of images begins.

    Example:
        >>> check_names("vig_micro", {"conv": "edge"})
    """
    base = variant_config(name)
    known = {field.name for field in fields(base)}
    if unknown := {key: value for key, value in options.items() if key not in known}:
        base.override(unknown)  # raises an error that names the nearest option
    resolve_conv(options.get("conv", base.conv), heads=base.heads)
    for graph in each_graph(options.get("graph", base.graph)):
        resolve_graph(graph)


def make_model(name: str, options: dict[str, Any], data: ImageData, *, seed: int) -> VisionGNN[Any]:
    """Create a network for given data, with random weights from a seed.

    Args:
        name: A name from `list_models()`.
        options: Options of the model; the channels, the size and the number of classes come from the data. As for
            `create_model`, `conv` and `graph` may be operators and graphs of your own.
        data: The images.
        seed: Seed of the weights.

    Raises:
        TypeError: If an option is unknown.
        ValueError: If the value of an option is out of range.

    Example:
        >>> from vig_pyg.classification import DigitsData
        >>> make_model("vig_micro", {"k": 5}, DigitsData(image_size=16), seed=0).config.num_classes
        10
    """
    size, channels = data.preprocessing.image_size, data.preprocessing.in_channels
    options = {**options, "num_classes": len(data.class_names), "in_channels": channels, "image_size": size}
    base = variant_config(name)
    try:
        config = base.override(options)
    except (TypeError, IndexError):  # an error about a value; an error about an unknown option already names it
        if options.keys() <= {field.name for field in fields(base)}:
            options_of(name)(options, "the options of the network")
        raise
    resolve_conv(config.conv, heads=config.heads)
    for graph in config.stage_graphs:
        resolve_graph(graph)
    code = {key: value for key, value in options.items() if key in ("conv", "graph") and _has_code(value)}
    named = {key: value for key, value in options.items() if key not in code}
    checked = {**options_of(name)(named, "the options of the network"), **code}  # `resolve_*` have checked the code
    check_size(config, size, "the run")
    patches = math.ceil(config.image_size / config.patch_size) ** 2
    if patches < config.k_range[0]:
        _log.warning(
            "An image with %d pixels per side has %s, fewer than the k=%d neighbors: use a smaller patch_size than %d.",
            size, counted(patches, "patches"), config.k_range[0], config.patch_size,
        )  # fmt: skip
    lightning.seed_everything(seed, verbose=False)
    return create_model(name, **checked)


def _has_code(part: Any) -> bool:
    """True if an operator or a graph, or the graph of a stage, is given itself and not by its name."""
    return any(one is not None and not isinstance(one, str) for one in each_graph(part))
