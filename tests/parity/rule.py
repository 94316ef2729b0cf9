"""Weights and images by the rule with which the numbers in this folder were made.

The arrays are outputs of the published code (github.com/huawei-noah/Efficient-AI-Backbones, folder `vig_pytorch`) in
float64. `manifest.json` lists each model's keys and shapes.
"""

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from vig_pyg import PyramidViG, PyramidViGConfig, ViG, ViGConfig, VisionGNN, create_model

FOLDER = Path(__file__).parent
PUBLISHED = {
    "vig_ti_224_gelu": "vig_tiny",
    "vig_s_224_gelu": "vig_small",
    "vig_b_224_gelu": "vig_base",
    "pvig_ti_224_gelu": "pvig_tiny",
    "pvig_s_224_gelu": "pvig_small",
    "pvig_m_224_gelu": "pvig_medium",
    "pvig_b_224_gelu": "pvig_base",
}
SMALL = [f"{family}_small_{conv}" for family in ("vig", "pvig") for conv in ("mr", "edge", "sage", "gin")]


def make_model(name: str) -> VisionGNN:
    """Our model of these numbers, with the weights of the rule, in float64."""
    if name in PUBLISHED:
        return create_model(PUBLISHED[name]).double()
    family, _, conv = name.split("_")
    if family == "vig":
        return ViG(ViGConfig(depth=6, channels=64, conv=conv, num_classes=10)).double()
    config = PyramidViGConfig(depths=(1, 1, 3, 1), channels=(32, 64, 96, 128), conv=conv, num_classes=10)
    return PyramidViG(config).double()


@cache
def manifest() -> dict[str, list]:
    return json.loads((FOLDER / "manifest.json").read_text())


def official_state(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """The weights of a model in the official layout, without the computed tables."""
    return {
        key: torch.from_numpy(draw(key, shape, seed)) for key, shape in manifest()[name] if "relative_pos" not in key
    }


def draw(key: str, shape: list[int], seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if key.endswith("running_mean"):
        return 0.1 * rng.standard_normal(shape)
    if key.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if key.endswith("pos_embed"):
        return 0.02 * rng.standard_normal(shape)
    if key.endswith("eps"):
        return np.full(shape, 0.1)
    if len(shape) == 4:
        return 0.7 * rng.standard_normal(shape) / np.sqrt(shape[1] * shape[2] * shape[3])
    if key.endswith("weight"):
        return rng.uniform(0.8, 1.2, shape)
    return 0.05 * rng.standard_normal(shape)


@cache
def images() -> torch.Tensor:
    rng = np.random.default_rng([0, 224])
    coarse, fine = rng.standard_normal((2, 3, 28, 28)), rng.standard_normal((2, 3, 224, 224))
    return torch.tensor(np.kron(coarse, np.ones((8, 8))) + 0.1 * fine)  # on the tests' device


def expected(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)
