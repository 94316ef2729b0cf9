"""Checks of the types and bounds of a model configuration in a file, before anything is built.

A file determines how large a model is, so an untrusted file could exhaust the memory. Three bounds prevent this: each
number has a range, the graph of an image has a largest number of edges, and the weight file must have at least as many
bytes as the model has parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vig_pyg._image_values import SIDE_LIMIT, check_mean, check_std
from vig_pyg._io.schema import (
    Check,
    OwnCodeError,
    choice,
    either,
    flag,
    listing,
    mapping,
    number,
    optional,
    text,
    whole,
)
from vig_pyg._io.text import terminal_text
from vig_pyg._registry import Registry, is_import_path
from vig_pyg.config import ModelConfig, PyramidViGConfig, variant_config
from vig_pyg.conv import CONVS
from vig_pyg.family_config import HybridViGConfig, WiGNetConfig
from vig_pyg.graph import ENGINES, GRAPHS, PRECISIONS, has_stages
from vig_pyg.position import POSITION_MODES
from vig_pyg.preprocess import Preprocessing

#: Largest number of edges of the graph of an image: 2,048 x 2,048 pixels in patches of 4 with 256 neighbors.
EDGES_LIMIT = 2**26
#: Largest number of blocks of a model; the deepest published one has 24.
BLOCKS_LIMIT = 512

#: A check of class names, one for each logit.
check_names = listing(text(1_000), 1, 100_000)


def registered(registry: Registry[Any]) -> Check:
    """Return a check for registered names; an import path in a file is never imported.

    Raises:
        ValueError: From the returned check, if a name is not registered.
        OwnCodeError: From the returned check, if it is the name of code outside this library.

    Example:
        >>> registered(CONVS)("mr", "config.json: conv")
        'mr'
    """

    def check(value: Any, where: str) -> str:
        if isinstance(value, str) and value in registry:
            return value
        if isinstance(value, str) and ":" in value:
            kind, shown = registry.kind, terminal_text(value, limit=80)
            module, _, name = shown.partition(":")
            path = is_import_path(value)
            line = f"vig_pyg.register_{kind}({shown!r})({f'{module}.{name}' if path else f'the {kind}'})"
            if not path:
                raise ValueError(
                    f"{where} is {shown!r}: code outside this library, which is never imported just because a file "
                    f"names it. If you trust it, register it in Python before you load the model: {line}."
                )
            raise OwnCodeError(
                f"{where} is {shown!r}, code that is never imported just because a file names it. If you trust it, "
                f"pass --{kind} {shown}; in Python, run before you load the model: import {module}; {line}."
            )
        return str(choice(tuple(registry))(value, where))

    return check


def _graphs(value: Any, where: str) -> Any:
    """Check the name of a graph, or a list with one for each stage."""
    one = optional(registered(GRAPHS))
    return listing(one, 1, 8)(value, where) if has_stages(value) else one(value, where)


_K = whole(1, 4_096)
_OPTIONS: dict[str, Check] = {
    "num_classes": whole(0, 100_000),
    "in_channels": whole(1, 1_024),
    "image_size": whole(1, SIDE_LIMIT),
    "patch_size": whole(1, 1_024),
    "k": either(listing(_K, 2, 2), _K),
    "dilation": flag,
    "stochastic": flag,
    "epsilon": number(0, 1),
    "knn_engine": choice(ENGINES),
    "knn_precision": choice(PRECISIONS),
    "conv": registered(CONVS),
    "graph": _graphs,
    "heads": whole(1, 1_024),
    "ffn_ratio": whole(1, 64),
    "head_channels": whole(1, 65_536),
    "drop_path_rate": number(0, 1),
    "dropout": number(0, 1),
    "depth": whole(0, BLOCKS_LIMIT),
    "channels": whole(1, 16_384),
}
_PYRAMID: dict[str, Check] = {
    "depths": listing(whole(0, BLOCKS_LIMIT), 1, 8),
    "channels": listing(whole(1, 16_384), 1, 8),
    "reduce_ratios": listing(whole(1, 64), 1, 8),
    "position": optional(choice(POSITION_MODES)),
}
_HYBRID: dict[str, Check] = {
    "channels": listing(whole(1, 16_384), 1, 8),
    "local_depths": listing(whole(0, BLOCKS_LIMIT), 1, 8),
    "graph_depths": listing(whole(0, BLOCKS_LIMIT), 1, 8),
    "hops": listing(whole(1, 1_024), 1, 8),
    "conv_ratio": whole(1, 64),
    "position_kernel": whole(0, 63),
    "graph_scale": optional(number(-1_000, 1_000)),
    "layer_scale": optional(number(-1_000, 1_000)),
    "distillation": flag,
}
_WINDOWS: dict[str, Check] = {**_PYRAMID, "window": whole(1, 4_096), "shift": flag, "adaptive": flag}
#: The checks of the options that only one family has; a class stands for its subclasses too, the first that fits.
_OF_FAMILY: tuple[tuple[type[ModelConfig], dict[str, Check]], ...] = (
    (WiGNetConfig, _WINDOWS),
    (PyramidViGConfig, _PYRAMID),
    (HybridViGConfig, _HYBRID),
)
#: An option of a family outside this library: a flag, a bounded number, a short text, or a short list of these.
_ONE = either(flag, number(-1e9, 1e9), text(1_000))
_ANY = optional(either(listing(_ONE, 0, 64), _ONE))
#: Mean and standard deviation of a normalization: one number, or one for each channel.
_PREPROCESSING: dict[str, Check] = {
    "image_size": whole(1, SIDE_LIMIT),
    "in_channels": whole(1, 1_024),
    "mean": check_mean,
    "std": check_std,
    "crop_pct": number(0.01, 1),
}


def model_options(family: type[ModelConfig]) -> Check:
    """Return a check of the options of a model family; the check converts lists into tuples.

    Example:
        >>> from vig_pyg.config import ViGConfig
        >>> model_options(ViGConfig)({"k": [3, 9]}, "config.json: options")
        {'k': (3, 9)}
    """
    known = {**_OPTIONS, **next((checks for kind, checks in _OF_FAMILY if issubclass(family, kind)), {})}
    entries = mapping({field.name: known.get(field.name, _ANY) for field in fields(family)})

    def check(value: Any, where: str) -> dict[str, Any]:
        found = entries(value, where)
        return {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}

    return check


def check_size(config: ModelConfig, image_size: int, where: str) -> None:
    """Raise `ValueError` if the model has too many blocks, or the graph of one image too many edges.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> check_size(VIG_VARIANTS["base"], 1024, "config.json")
    """
    if config.num_blocks > BLOCKS_LIMIT:
        raise ValueError(
            f"{where} describes a model with {config.num_blocks} blocks: at most {BLOCKS_LIMIT} are allowed."
        )
    side = max(image_size, config.image_size)
    for stage, (graph, depth) in enumerate(zip(config.stage_graphs, config.stage_depths, strict=True)):
        hop = config.hops[stage] if isinstance(config, HybridViGConfig) and config.dilation else 1
        length = math.ceil(side / (config.patch_size * 2**stage))
        nodes = length**2 if depth else 0
        rings = dict.fromkeys(("axial_rings", "axial_threshold"), 2 * math.ceil(length / hop))
        of_graph = {"complete": nodes, "cross": 5, "axial": 2 * length, **rings}
        neighbors = of_graph.get(str(graph), max(config.k_range))
        if nodes * neighbors > EDGES_LIMIT:
            raise ValueError(
                f"{where} describes graphs of {nodes} patches with {neighbors} neighbors each (images with {side} "
                f"pixels per side in patches of {config.patch_size * 2**stage}): more than {EDGES_LIMIT} edges of one "
                "image are refused."
            )


def check_weights_hold(make: Callable[[], nn.Module], weights: Path, where: str) -> None:
    """Raise `ValueError` if a weight file is too small for a model, before the memory of the model is allocated.

    Args:
        make: Factory of the model, which is called once, on the device `meta` without memory for parameters.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "a.pth").touch()
        ...     check_weights_hold(nn.Identity, Path(folder) / "a.pth", "config.json")
    """
    with torch.device("meta"):
        count = sum(tensor.numel() for tensor in make().state_dict().values())
    size = weights.stat().st_size
    if count > size:  # each parameter has at least one byte
        raise ValueError(
            f"{where} describes a model with {count} parameters, but {weights} has only {size} bytes: they do not "
            "belong together."
        )


def read_preprocessing(value: Any, where: str) -> Preprocessing:
    """Return the preprocessing that an entry describes.

    Example:
        >>> read_preprocessing({"image_size": 32}, "config.json: preprocessing").resize_size
        32
    """
    values = mapping(_PREPROCESSING, required=("image_size",))(value, where)
    try:
        found = Preprocessing(**values)
    except ValueError as error:  # numbers for another number of channels
        raise ValueError(f"{where}: {error}") from error
    if found.resize_size > SIDE_LIMIT:
        raise ValueError(
            f"{where} resizes images to {found.resize_size} pixels per side, expected at most {SIDE_LIMIT}."
        )
    return found


def options_of(name: str) -> Check:
    """Return the check of the options of a model, which is given by its name (see `create_model`).

    Example:
        >>> options_of("pvig_tiny")({"depths": [1, 1, 1, 1]}, "config.yaml: options")
        {'depths': (1, 1, 1, 1)}
    """
    return model_options(type(variant_config(name)))
