"""Weights and images by the rule with which the numbers in this folder were made.

The arrays are outputs of the published code in float64: MobileViG (github.com/SLDGroup/MobileViG, commit 087df4f),
GreedyViG (SLDGroup/GreedyViG, f15d39d) and MobileViGv2 (SLDGroup/MobileViGv2, 582976d). `manifest.json` lists each
network's keys and shapes.
"""

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from vig_pyg import VisionGNN, create_model
from vig_pyg.family_config import GreedyViGConfig, MobileViGConfig, MobileViGv2Config

FOLDER = Path(__file__).parent
SIZES = {"ti": "tiny", "s": "small", "m": "medium", "b": "base"}
PUBLISHED = [
    *(f"mobilevig_{size}" for size in SIZES),
    *(f"greedyvig_{size}" for size in SIZES if size != "ti"),
    *(f"mobilevigv2_{size}" for size in SIZES),
]
_CHANNELS = (16, 24, 32, 48)
SMALL = {
    "small_greedyvig": GreedyViGConfig(
        channels=_CHANNELS, local_depths=(1, 1, 1, 1), graph_depths=(1, 1, 2, 1), hops=(8, 4, 2, 1)
    ),
    "small_mobilevig": MobileViGConfig(
        channels=_CHANNELS, local_depths=(1, 1, 2, 0), graph_depths=(0, 0, 0, 2), hops=(2, 2, 2, 2)
    ),
    "small_mobilevigv2": MobileViGv2Config(
        channels=_CHANNELS, local_depths=(1, 1, 1, 1), graph_depths=(0, 1, 2, 1), hops=(8, 8, 4, 2)
    ),
}


def make_model(name: str, **options: object) -> VisionGNN:
    """Our model of these numbers, with random weights, in float64."""
    if name in SMALL:
        small = {"num_classes": 10, "head_channels": 40, "drop_path_rate": 0.0}
        return create_model(SMALL[name], distillation=True, **{**small, **options}).double()
    family, size = name.split("_")
    return create_model(f"{family}_{SIZES[size]}", distillation=True, **options).double()


@cache
def manifest() -> dict[str, list]:
    return json.loads((FOLDER / "manifest.json").read_text())


def official_state(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """The weights of a network under its published names."""
    return {key: torch.from_numpy(np.asarray(draw(key, shape, seed))) for key, shape in manifest()[name]}


def draw(key: str, shape: list[int], seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if key.endswith("running_mean"):
        return 0.1 * rng.standard_normal(shape)
    if key.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if "layer_scale" in key:
        return 0.1 * rng.uniform(0.5, 1.5, shape)
    if len(shape) == 4:
        return 0.7 * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    if key.endswith("weight"):
        return rng.uniform(0.8, 1.2, shape)
    return 0.05 * rng.standard_normal(shape)


@cache
def images(height: int = 224, width: int = 224) -> torch.Tensor:
    rng = np.random.default_rng([0, height] if height == width else [0, height, width])
    coarse = rng.standard_normal((2, 3, height // 8, width // 8))
    return torch.tensor(np.kron(coarse, np.ones((8, 8))) + 0.1 * rng.standard_normal((2, 3, height, width)))


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)
