"""Position of patches: sin-cos codes for the neighbor search, and a learned embedding for the stem."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg.data import BatchLayout, Size
from vig_pyg.ops import is_exporting, is_open, resized_rows

PositionMode = Literal["official", "grid"]
#: Largest number of entries of a cached table of code products (4 MB in float32).
TABLE_LIMIT = 2**20
#: Largest number of entries of the cached column and row terms (64 MB in float32).
TERMS_LIMIT = 2**24
POSITION_MODES: tuple[PositionMode, ...] = ("official", "grid")


def sincos(pos: Tensor, channels: int) -> Tensor:
    r"""Compute 2-D sin-cos position codes in float64.

    .. math:: p = [\sin(c\,\omega), \cos(c\,\omega), \sin(r\,\omega), \cos(r\,\omega)],
        \quad \omega_i = 10000^{-4 i / C}

    where c is the column and r the row (published code of Vision GNN, arXiv 2206.00272).

    Args:
        pos: Coordinates (row, column) in cells, `(N, 2)`.
        channels: Width C of the code, a multiple of 4.

    Shapes: `(N, 2)` to `(N, C)`.

    Returns:
        Codes `(N, C)` with :math:`|p|^2 = C / 2`.

    Raises:
        ValueError: If `channels` is not a multiple of 4.

    Example:
        >>> sincos(torch.tensor([[0.0, 0.0]]), 8).tolist()
        [[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]]
    """
    if channels % 4:
        raise ValueError(f"Position codes need a number of channels divisible by 4, got {channels}.")
    pos = pos.double()
    omega = 10000.0 ** (-torch.arange(channels // 4, dtype=pos.dtype, device=pos.device) / (channels // 4))
    column, row = pos[:, 1:2] * omega, pos[:, 0:1] * omega
    return torch.cat([column.sin(), _cos(column), row.sin(), _cos(row)], dim=1)


def _cos(angle: Tensor) -> Tensor:
    """The cosine in float64, which ONNX Runtime 1.26 cannot compute; the sine serves files for any image size."""
    return (angle + math.pi / 2).sin() if is_exporting() and is_open(angle.size(0)) else angle.cos()


def shortened(p: Tensor, q: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    r"""Reduce the dimension of codes without changing their products.

    .. math:: (p V)(q V)^T = p\, q^T

    where the columns of V are the eigenvectors of :math:`p^T p + q^T q` whose eigenvalues are not nearly 0. Most waves
    of a sin-cos code are much longer than the grid, on which they are nearly linear. Therefore the 240 channels on a
    grid of 14 x 14 cells span only 26 dimensions in float32, and fewer dimensions make the search faster.

    Args:
        p: Codes of targets `(n, C)` in float64.
        q: Codes of sources `(m, C)` in float64.
        eps: Relative extent below which a direction is dropped. If it is the machine epsilon of the search, the
            products change by less than their rounding error.

    Shapes: `(n, C)` and `(m, C)` to `(n, R)` and `(m, R)`.

    Returns:
        Codes `(n, R)` and `(m, R)`, where R is at most C; coordinates are sorted by descending extent.

    Example:
        >>> a, b = shortened(*torch.eye(3, dtype=torch.float64)[:2].repeat(2, 1, 1), eps=1e-7); a.shape
        torch.Size([2, 2])
    """
    size, axes = torch.linalg.eigh(p.t() @ p + q.t() @ q)
    axes = axes[:, size > eps**2 * size[-1]].flip(1)
    return p @ axes, q @ axes


class Codes(NamedTuple):
    """Position codes divided by √C, and a table of their products for small grids.

    Args:
        p: Codes of the targets, `(n, R)`.
        q: Codes of the sources, `(m, R)`.
        table: Products of all codes, `(n, m)`, or `None` for a large grid.
        terms: For a large grid of H rows and W columns on a GPU, a term for each column, followed by one for each row,
            `(W + H, m)`. The product of a target is the sum of its column term and its row term. Otherwise `None`,
            because on a CPU additional coordinates are faster.

    Example:
        >>> Codes(torch.zeros(4, 8), torch.zeros(4, 8)).bias((2, 2)) is None
        True
    """

    p: Tensor
    q: Tensor
    table: Tensor | None = None
    terms: Tensor | None = None

    def bias(self, grid: Size) -> tuple[Tensor, int] | None:
        """Return the products as `bias` and `grid_width` of `vig_pyg.ops.knn`, or `None` if there are only codes.

        Args:
            grid: The grid (H, W) of the targets.

        Returns:
            The bias `(1, n, m)` and 0, or the terms `(1, W + H, m)` and W.
        """
        if self.table is not None:
            return self.table.unsqueeze(0), 0  # (1, n, m)
        return None if self.terms is None else (self.terms.unsqueeze(0), grid[1])  # (1, W + H, m)


class PositionCodes(nn.Module):
    """Computes position codes p for targets and q for sources; the search adds `p · q / C` to the similarity.

    The codes of recent grids, and for small grids their products, are cached for all layers and models.

    Args:
        mode: Definition of the codes of pooled sources. `"official"` computes q by a 1-D bicubic resize of p in raster
            order, as in the published pyramid models, whose weights need it. `"grid"` uses the codes of the centers of
            the pooled cells.

    Raises:
        ValueError: If the mode is unknown.

    Example:
        >>> codes = PositionCodes("grid"); layout = BatchLayout.from_sizes([(4, 4)])
        >>> codes(layout, layout.pooled(2), 8, torch.float32).table.shape
        torch.Size([16, 4])
    """

    def __init__(self, mode: PositionMode) -> None:
        super().__init__()
        if mode not in POSITION_MODES:
            raise ValueError(f"Unknown position mode {mode!r}: choose one of {', '.join(POSITION_MODES)}.")
        self.mode = mode

    def forward(self, target: BatchLayout, source: BatchLayout, channels: int, dtype: torch.dtype) -> Codes:
        """Return the codes of one image if all images have the same grid, otherwise the codes of all nodes.

        Args:
            target: Layout of the targets.
            source: Layout of the sources.
            channels: Width C of the codes.
            dtype: Dtype of the codes.
        """
        device = target.device
        if target.grid_size is not None and is_open(*target.grid_size):
            return _of_open_grid(self.mode, target, source, channels, dtype)
        if target.grid_size is not None:
            on_gpu = device.type == "cuda"
            return Codes(*_constant(self.mode, target.grid_size, source.ratio, channels, dtype, on_gpu, device))
        # Codes are computed on the CPU, because Apple's GPUs have no float64.
        places = [_places(layout).split(list(layout.num_nodes_per_graph)) for layout in (target, source)]
        p = [sincos(pos, channels) for pos in places[0]]
        q = (
            p
            if target is source
            else [_source(self.mode, code, pos, channels) for code, pos in zip(p, places[1], strict=True)]
        )
        return Codes(*(torch.cat(code).div(channels**0.5).to(dtype).to(device) for code in (p, q)))

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}"


def _places(layout: BatchLayout) -> Tensor:
    """Positions of all nodes on the CPU; for grids they are computed there, which avoids a copy from the device."""
    if not layout.has_grids or layout.device.type == "cpu" or layout.ratio > 1:
        return layout.pos.cpu()
    return BatchLayout.from_sizes(layout.grid_sizes or ()).pos


def _source(mode: PositionMode, p: Tensor, pos: Tensor, channels: int) -> Tensor:
    """Compute the codes of the pooled sources of one image."""
    if mode == "grid":
        return sincos(pos, channels)
    # The published code resizes the columns of the n x n table of products, which is equal to resizing the codes.
    return F.interpolate(p.t()[None, None], size=(channels, len(pos)), mode="bicubic")[0, 0].t()


def _of_open_grid(
    mode: PositionMode, target: BatchLayout, source: BatchLayout, channels: int, dtype: torch.dtype
) -> Codes:
    """Compute the codes of a grid whose size is dynamic: they are operations of the program instead of constants.

    They are not shortened, because the number of dimensions would depend on the grid. An exported program always
    computes the table of products, because it computes all scores of an image anyway.
    """
    assert target.grid_size is not None
    device = target.device if target.device.type in ("cpu", "cuda") else torch.device("cpu")
    one = BatchLayout.from_grid(target.grid_size, 1, device)
    p = sincos(one.pos, channels)
    q = p
    if source.ratio > 1:
        pos = one.pooled(source.ratio).pos
        q = sincos(pos, channels) if mode == "grid" else resized_rows(p, pos.size(0))
    if is_exporting() or p.size(0) * q.size(0) <= TABLE_LIMIT:
        table = (p @ q.t()).div(channels).to(dtype).to(target.device)
        return Codes(p, q, table)
    return Codes(*(code.div(channels**0.5).to(dtype).to(target.device) for code in (p, q)))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _constant(*key: Any) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """As `_of_grid`, but torch.compile treats the result as a constant."""
    return _of_grid(*key)


@lru_cache(maxsize=64)
def _of_grid(*key: Any) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Cached codes of one grid.

    They are computed in a separate thread, so that the caller's tracing, inference mode and default dtype do not apply.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_made, *key).result()


def _made(
    mode: PositionMode, grid: Size, ratio: int, channels: int, dtype: torch.dtype, on_gpu: bool, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Compute the codes of one image, and their products as a table or, for large grids on a GPU, as terms."""
    target = BatchLayout.from_grid(grid, 1)  # on the CPU, because Apple's GPUs have no float64
    p = sincos(target.pos, channels)
    q = p if ratio == 1 else _source(mode, p, target.pooled(ratio).pos, channels)
    table = terms = None
    if p.size(0) * q.size(0) > TABLE_LIMIT and on_gpu and sum(grid) * q.size(0) <= TERMS_LIMIT:
        terms = _terms(p, q, grid).div(channels).to(dtype).to(device)
    p, q = shortened(p, q, eps=torch.finfo(dtype).eps)
    if p.size(0) * q.size(0) <= TABLE_LIMIT:
        table = (p @ q.t()).div(channels).to(dtype).to(device)
    p, q = (code.div(channels**0.5).to(dtype).to(device) for code in (p, q))
    return p, q, table, terms


def _terms(p: Tensor, q: Tensor, grid: Size) -> Tensor:
    """Return the products with the two halves of a code, which depend only on the column or the row, `(W + H, m)`.

    Args:
        p: Codes of the targets in raster order, `(H W, C)`.
        q: Codes of the sources, `(m, C)`.
        grid: The grid (H, W) of the targets.
    """
    half, width = p.size(1) // 2, grid[1]
    of_columns = p[:width, :half] @ q[:, :half].t()
    of_rows = p[::width, half:] @ q[:, half:].t()
    return torch.cat([of_columns, of_rows])


class PositionEmbedding(nn.Module):
    """Adds a learned position embedding to a feature map; for another grid, it is resized by bicubic interpolation.

    Args:
        channels: Number of channels C of the map.
        size: Grid (H, W) of the parameter.

    Shapes: `(B, C, H', W')` to `(B, C, H', W')`.

    Example:
        >>> PositionEmbedding(8, (14, 14))(torch.zeros(1, 8, 7, 10)).shape
        torch.Size([1, 8, 7, 10])
    """

    def __init__(self, channels: int, size: Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, *size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.resized(x)

    def resized(self, x: Tensor) -> Tensor:
        """Return the embedding, resized to the grid of a map, `(1, C, H', W')`.

        Args:
            x: The feature map `(B, C, H', W')`.
        """
        weight: Tensor = self.weight
        if not is_open(x.size(2), x.size(3)) and x.shape[2:] == weight.shape[2:]:
            return weight  # a resize to the same size would change nothing
        return F.interpolate(weight, size=x.shape[2:], mode="bicubic")

    def extra_repr(self) -> str:
        return f"{self.weight.size(1)}, size={tuple(self.weight.shape[2:])}"
