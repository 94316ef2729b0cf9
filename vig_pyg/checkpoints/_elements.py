"""The blocks and Downsamples of the published formats of ViG and Pyramid ViG, found in the keys of a state dict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def official_elements(state: Mapping[str, Any], one_stage: bool) -> list[str]:
    """Return the native prefixes of the elements of the flat list `backbone`, in order."""
    count = 1 + max(_numbers(state, r"backbone\.([0-9]{1,6})\."), default=-1)
    downs = set(_numbers(state, r"backbone\.([0-9]{1,6})\.conv\."))
    count = min(count, len(state))  # larger numbers are not indices of blocks
    if not downs and not one_stage:
        return [f"blocks.{i}." for i in range(count)]
    elements, stage, block = [], 0, 0
    for i in range(count):
        if i in downs:
            stage, block = stage + 1, 0
            elements.append(f"stages.{stage}.downsample.")
        else:
            elements.append(f"stages.{stage}.blocks.{block}.")
            block += 1
    return elements


def mmpretrain_elements(state: Mapping[str, Any]) -> list[str]:
    """Return the native prefixes of the blocks and Downsamples of mmpretrain's format, in order."""
    blocks = _numbers(state, r"backbone\.blocks\.([0-9]{1,6})\.")
    if blocks:
        return [f"blocks.{i}." for i in range(min(max(blocks) + 1, len(state)))]
    found = (re.match(r"backbone\.stages\.([0-9]{1,6})\.([0-9]{1,6})\.", key) for key in state)
    places = sorted({(int(match[1]), int(match[2])) for match in found if match})
    elements = []
    for stage, place in places:
        down = f"backbone.stages.{stage}.0.0.weight" in state  # otherwise these are the two halves of a block
        name = "downsample" if down and place == 0 else f"blocks.{place - down}"
        elements.append(f"stages.{stage}.{name}.")
    return elements


def _numbers(state: Mapping[str, Any], pattern: str) -> list[int]:
    """Return the numbers in keys that match a pattern."""
    return [int(match[1]) for key in state if (match := re.match(pattern, key))]
