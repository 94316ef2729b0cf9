r"""Neighbor search with Triton kernels on a GPU: preparation of the arguments, and choice of the tile sizes.

Equation: the sources of rank 0, `step`, `2 step`, ... by descending :math:`x_i \cdot y_s + b_{is}`, or without a bias
by ascending distance. Shapes: targets `(B, n, C)`, sources `(B, m, C)`, bias `(1 or B, 1 or n, m)`, found `(B, n, ⌈k /
step⌉)`.

Memory traffic in bytes: s B (n + m) C for the features, which are read once, with s bytes per element; 4 n m for a bias
with rows, which all images after the first read from the cache; and 2 B n ⌈k / step⌉ for the result. Operations: 2 B n
m C for the products, and about 20 + 2 k for each score of a row.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vig_pyg.ops._grid_bias import bias_rows, grid_bias
from vig_pyg.ops._triton_knn_row import MOST_SOURCES, search_row
from vig_pyg.ops._triton_knn_tiles import search_tiles
from vig_pyg.ops._triton_launch import launch, power_of_two
from vig_pyg.ops._triton_lengths import lengths

#: Largest number of neighbors, which are stored on chip.
MOST_NEIGHBORS = 128
#: Largest number of channels whose squares one program of the search sums at once.
MOST_CHANNELS = 256
#: Largest stride of the rows of the bias, because offsets within a tile have 32 bits.
MOST_STRIDE = 2**24
#: Largest number of sources of an image, for which contiguous rows of a bias are no further apart.
MOST_SOURCES_OF_IMAGE = MOST_STRIDE
#: Products of float32 operands: `"highest"` uses three TF32 products, which preserve the order of float32.
_PRODUCTS = {"highest": "tf32x3", "high": "tf32", "medium": "tf32"}


class Tile(NamedTuple):
    """The tile sizes of one program."""

    targets: int
    channels: int  # channels in one step of the product
    stages: int  # pipeline stages of the product
    warps: int
    sources: int = 64  # sources in one tile if an image has more than `MOST_SOURCES`


class Operands(NamedTuple):
    """The prepared operands of a kernel."""

    x: Tensor
    y: Tensor
    x_lengths: Tensor | None
    y_lengths: Tensor | None
    bias: Tensor
    precision: str
    exact: bool
    width: int = 0  # number of channels, rounded up to a power of two, if the kernel computes the lengths


def neighbors(
    x: Tensor,
    y: Tensor,
    k: int,
    *,
    step: int,
    bias: Tensor | None,
    normalize: bool,
    precision: str = "highest",
    edges: bool = False,
    grid_width: int = 0,
    tile: Tile | None = None,
) -> Tensor:
    """Return the sources of each target as indices within the image, `(B, n, ⌈k / step⌉)`, the nearest first, or edges.

    Args:
        x: Targets `(B, n, C)` in float32, bfloat16 or float16.
        y: Sources `(B, m, C)` of the same type.
        k: Number of nearest sources that are ranked, at most `MOST_NEIGHBORS` and m.
        step: Spacing of the selected ranks 0, step, 2 step, ...
        bias: Term `(1 or B, 1 or n, m)` added to the products. Without it, the sources are sorted by distance.
        normalize: If true, the features are L2-normalized first.
        precision: Precision of float32 products: `"highest"`, `"high"` or `"medium"`. 16-bit products are exact.
        edges: If true, return edges, with source indices over the whole batch.
        grid_width: Width W of the target grid if the bias is given by terms `(1 or B, W + H, m)`, otherwise 0.
        tile: Tile sizes instead of those of `tile_for`, for measurements.

    Returns:
        Source indices, int16 for up to 2**15 sources, otherwise int32; or `edge_index (2, B n ⌈k / step⌉)`.

    Raises:
        ValueError: If dtypes or shapes do not match.
    """
    _check(x, y, k, step, bias, grid_width)
    (images, n, channels), m = x.shape, y.size(1)
    # For few sources, the full bias is not larger than the features.
    if grid_width and bias is not None and m <= MOST_SOURCES:
        bias, grid_width = grid_bias(bias, grid_width, 0, n), 0
    step = min(step, k)
    kept = -(-k // step)
    shape = (2, images * n * kept) if edges else (images, n, kept)
    number = torch.long if edges else torch.int16 if m <= 2**15 else torch.int32
    found = torch.empty(shape, dtype=number, device=x.device)
    if found.numel() == 0:
        return found
    operands = prepared(x.contiguous(), y.contiguous(), bias, normalize, precision)
    _launch(operands, found, k, step, kept, grid_width, tile or tile_for(n, m, channels, operands.x.dtype, k))
    return found


def _launch(operands: Operands, found: Tensor, k: int, step: int, kept: int, grid_width: int, tile: Tile) -> None:
    x, y, x_lengths, y_lengths, bias, precision, exact, width = operands
    if x.is_cpu:  # Triton's interpreter does not support 16-bit products
        x, y = x.to(y.dtype).float(), y.float()
    (images, n, channels), m = x.shape, bias.size(2)
    of_image, of_target = (bias.stride(i) if bias.size(i) > 1 else 0 for i in (0, 1))
    count = 4 if m % 4 == of_image % 4 == of_target % 4 == bias.data_ptr() % 16 == 0 else 1
    constants = _constants(
        tile,
        m,
        k,
        kept,
        ROWS=2 if grid_width else of_target > 0,
        COUNT=count,
        WIDTH=width,
        X_LENGTHS=x_lengths is not None,
        Y_LENGTHS=y_lengths is not None,
        PRECISION=precision,
        SPLIT=y.dim() == 4,
        EXACT=exact,
    )
    numbers: tuple[int, ...] = n, m // count, channels, of_image // count, of_target // count, k, step, kept
    few = m <= MOST_SOURCES
    if not few:
        numbers += (grid_width,)
    launch(
        search_row if few else search_tiles,
        (-(-n // tile.targets), images),
        (x, y, x_lengths, y_lengths, bias, found, *numbers),
        constants,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )


@cache
def _constants(tile: Tile, m: int, k: int, kept: int, **flags: Any) -> dict[str, Any]:
    """Return the constants of `search_row` or `search_tiles` in the order of their parameters."""
    few = m <= MOST_SOURCES
    sizes = {
        "TARGETS": tile.targets,
        "SOURCES": max(64, power_of_two(m)) if few else tile.sources,
        "CHANNELS": tile.channels,
    }
    sizes |= {} if few else {"BEST": max(16, power_of_two(k))}
    of_others = () if few else ("WIDTH", "SPLIT", "EXACT")
    return (
        sizes | {"SLOTS": max(16, power_of_two(kept))} | {name: flags[name] for name in flags if name not in of_others}
    )


def tile_for(n: int, m: int, channels: int, dtype: torch.dtype, k: int) -> Tile:  # noqa: ARG001
    """Return the tile sizes that were fastest in our measurements (`examples/benchmarks/gpu_kernels.py`).

    For more than `MOST_SOURCES` sources, a tile of scores and lists of 16 or 32 sources have the largest sizes that
    spill no registers when compiled ahead of time (`examples/benchmarks/gpu_compiled.py`).

    64 targets are the smallest number of rows for the product of a warp group. Four warps then hold 64 x 256 scores in
    128 registers per thread, and two programs run on one multiprocessor. A step of the product has the largest width
    that divides the channels.
    """
    if m > MOST_SOURCES:
        few = dtype != torch.float32 and k <= 16 and m % 4 == 0
        return Tile(64, 16, 2 if dtype == torch.float32 else 4, 4, 128 if few else 64)
    if dtype == torch.float32:
        return Tile(64, 16, 2, 4)  # sources are stored twice, and two programs run on one multiprocessor
    if channels % 64 == 0:
        return Tile(64, 64, 2, 4)
    return Tile(64, 32, 2, 4) if channels % 32 == 0 else Tile(64, 16, 4, 4)


def prepared(x: Tensor, y: Tensor, bias: Tensor | None, normalize: bool, precision: str) -> Operands:
    """Return the operands from whose products, lengths and bias the kernels compute the scores."""
    if not normalize:
        return _rounded(_as_they_are(x, y, bias, precision), precision)
    same = x.data_ptr() == y.data_ptr() and x.shape == y.shape
    # If targets are narrow, the search computes their lengths itself; it then reads them a second time from the cache.
    narrow = not same and x.size(2) <= MOST_CHANNELS and y.size(1) <= MOST_SOURCES
    width = max(16, power_of_two(x.size(2))) if narrow else 0
    if x.dtype == torch.float32:
        y, bias = _centered(y, bias)
        x_lengths = None if narrow else lengths(x)[0]
        return _rounded(Operands(x, y, x_lengths, None, bias, _PRODUCTS[precision], False, width), precision)
    both = lengths(x) if same else lengths(y) if narrow else lengths(x, y)
    if bias is None:  # after normalization, sources have length 1, except for zero vectors
        bias = (both[-1] > 1e-12).float().mul(-0.5).unsqueeze(1)  # (B, 1, m)
    return Operands(x, y, None if narrow else both[0], both[-1], _dense(bias), "tf32", False, width)


def _as_they_are(x: Tensor, y: Tensor, bias: Tensor | None, precision: str) -> Operands:
    if bias is None:  # distances: the mean is subtracted to avoid cancellation in the products of nearby features
        mean = y.float().mean(1, keepdim=True)
        x, y = x.float() - mean, y.float() - mean
        bias = y.square().sum(-1).mul(-0.5).unsqueeze(1)  # (B, 1, m)
    return Operands(x, y, None, None, _dense(bias), _PRODUCTS[precision], True)


def _centered(y: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Normalize the sources and subtract their mean, which changes all scores of a target by the same number."""
    y = y / torch.linalg.vector_norm(y, dim=-1, keepdim=True).clamp_min(1e-12)
    mean = y.mean(1, keepdim=True)
    y = y - mean
    if bias is None:
        bias = -(y * (y / 2 + mean)).sum(-1).unsqueeze(1)  # (B, 1, m), half the squared lengths, up to a constant
    return y, _dense(bias)


def _rounded(operands: Operands, precision: str) -> Operands:
    """Round the sources to the precision of the product; the kernel rounds the targets when it reads them."""
    y = operands.y
    if y.dtype != torch.float32 or precision == "high":
        return operands
    if precision == "medium":
        return operands._replace(y=y.bfloat16())
    if y.size(1) > MOST_SOURCES:
        return operands  # the compiler splits each tile
    head = (y.view(torch.int32) & -8192).view(torch.float32)  # the bits that TF32 can represent
    return operands._replace(y=torch.stack([head, y - head]), precision="tf32")


def _dense(bias: Tensor) -> Tensor:
    bias = bias.float()
    return bias if bias.stride(2) == 1 and bias.stride(1) < MOST_STRIDE else bias.contiguous()


def _check(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, grid_width: int) -> None:
    (images, n, channels), m = x.shape, y.size(1)
    if x.dtype != y.dtype or x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"The search supports float32, bfloat16 or float16, got {x.dtype} and {y.dtype}.")
    rows = bias_rows(n, bias, grid_width)
    fits = bias is None or (
        bias.dim() == 3 and bias.size(2) == m and bias.size(0) in (1, images) and bias.size(1) in rows
    )
    if y.shape != (images, m, channels) or not fits:
        raise ValueError(
            f"The shapes of targets (B, n, C), sources (B, m, C) and bias (1 or B, {' or '.join(map(str, rows))}, m) "
            f"do not match: got {tuple(x.shape)}, {tuple(y.shape)} and {None if bias is None else tuple(bias.shape)}."
        )
    if not 1 <= k <= min(m, MOST_NEIGHBORS) or step < 1:
        raise ValueError(
            f"k must be from 1 to {min(m, MOST_NEIGHBORS)} and step at least 1, got k={k} and step={step}."
        )
