"""WiGNets of the numbers in this folder: outputs of the published code (EIDOSLAB/WiGNet, commit 83bd864) in float64.

Weights and images follow the rule of `tests/parity/family`. Tables of positions and masks are not drawn: the network
computes them.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch

from tests.parity.family import rule
from vig_pyg import VisionGNN, WiGNetConfig, create_model

FOLDER = Path(__file__).parent
SIZES = {"ti": "tiny", "s": "small", "m": "medium"}
PUBLISHED = [f"wignet_{size}_{pixels}" for size in SIZES for pixels in (224, 256)]
SMALL = WiGNetConfig(
    channels=(16, 24, 32, 48),
    depths=(2, 2, 2, 2),
    image_size=224,
    window=7,
    num_classes=10,
    head_channels=40,
)
TABLES = ("relative_pos", "attn_mask", "adj_mask")


def make_model(name: str) -> VisionGNN:
    """Our model of these numbers, with random weights, in float64."""
    if name == "small_wignet":
        return create_model(SMALL).double()
    _, size, pixels = name.split("_")
    return create_model(f"wignet_{SIZES[size]}", image_size=int(pixels), window=int(pixels) // 32).double()


@cache
def manifest() -> dict[str, list]:
    return json.loads((FOLDER / "manifest.json").read_text())


def official_state(name: str, shapes: dict[str, list] | None = None) -> dict[str, torch.Tensor]:
    """The weights of a network under its published names, without the computed tables."""
    changed = shapes or {}
    return {
        key: torch.from_numpy(np.asarray(rule.draw(key, changed.get(key, shape), 0)))
        for key, shape in manifest()[name]
        if not key.endswith(TABLES)
    }


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)
