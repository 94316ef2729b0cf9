"""The order of the layers of a network, for learning rates that decrease from the last layer to the first."""

from __future__ import annotations

import re


def layer_of(name: str, *, coarse: bool = False) -> tuple[int, ...]:
    """Return the position of a parameter's layer in the order of the layers, derived from the name of the parameter.

    The stem and the position embedding are the first layer. Each block is a layer. Everything else, such as the
    classifier, is the last layer. A `Downsample` belongs to the block that follows it. The network may be a part of a
    larger one.

    Args:
        coarse: If true, a stage of a pyramid is one layer; otherwise each of its blocks is one.

    Returns:
        A sort key: numbers that sort in the order of the layers.

    Example:
        >>> layer_of("stem.0.weight") < layer_of("stages.1.blocks.0.ffn.fc2.0.bias") < layer_of("head.fc2.bias")
        True
    """
    if re.search(r"(?:^|\.)(?:stem|pos_embed)\.", name):
        return (0,)
    numbers = [int(number) for number in re.findall(r"\b(?:stages|blocks)\.(\d+)", name)]
    if not numbers:
        return (2,)
    if coarse:
        return (1, numbers[0])
    if ".downsample." in name:
        numbers.append(0)
    return (1, *numbers)
