"""Where a patch lies: sin-cos codes for the neighbor search and a learned embedding for the stem."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg.data import Layout, Size

PositionMode = Literal["official", "grid"]
#: Products of the codes of one grid are kept up to this many: 4 MB in float32.
TABLE_LIMIT = 2**20
POSITION_MODES: tuple[PositionMode, ...] = ("official", "grid")


def sincos(pos: Tensor, channels: int) -> Tensor:
    r"""2-D sin-cos codes, in float64.

    .. math:: p = [\sin(c\,\omega), \cos(c\,\omega), \sin(r\,\omega), \cos(r\,\omega)],
        \quad \omega_i = 10000^{-4 i / C}

    with c the column and r the row (published code of Vision GNN, arXiv 2206.00272).

    Args:
        pos: Coordinates (row, column) in cells, `(N, 2)`.
        channels: Width C of the code, a multiple of 4.

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
    return torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1)


def shortened(p: Tensor, q: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    r"""Codes in as few coordinates as give the same products.

    .. math:: (p V)(q V)^T = p\, q^T, \quad V\ \text{the eigenvectors of}\ p^T p + q^T q\ \text{but those of nearly 0}

    Most waves of a sin-cos code are so long that a grid sees a nearly straight line of them: in float32 the 240
    channels of 14 x 14 cells span 26 dimensions, which is all that a search needs to look at.

    Args:
        p: Codes of targets `(n, C)` in float64.
        q: Codes of sources `(m, C)` in float64.
        eps: Directions in which codes extend less than this, relative to the longest, are left out: the precision of
            the search, so that products change by less than its rounding.

    Returns:
        Codes `(n, R)` and `(m, R)`, R at most C, the coordinates of the largest spread first.

    Example:
        >>> a, b = shortened(*torch.eye(3, dtype=torch.float64)[:2].repeat(2, 1, 1), eps=1e-7); a.shape
        torch.Size([2, 2])
    """
    size, axes = torch.linalg.eigh(p.t() @ p + q.t() @ q)
    axes = axes[:, size > eps**2 * size[-1]].flip(1)
    return p @ axes, q @ axes


class Codes(NamedTuple):
    """Codes p `(n, R)` of targets and q `(m, R)` of sources, over √C, and their products where these are kept."""

    p: Tensor
    q: Tensor
    table: Tensor | None = None


class PositionCodes(nn.Module):
    """Codes p of the targets and q of the sources, so that `p · q / C` is added to the similarity.

    The codes of the last grids, and for small grids their products, are kept, for all layers and models together.

    Args:
        mode: `"official"` takes q from a 1-D bicubic resize of p in raster order where sources are pooled, as the
            published pyramid does and its weights need. `"grid"` takes the code of the pooled cell's center.

    Raises:
        ValueError: If the mode is unknown.

    Example:
        >>> codes = PositionCodes("grid"); layout = Layout.from_sizes([(4, 4)])
        >>> codes(layout, layout.pooled(2), 8, torch.float32).table.shape
        torch.Size([16, 4])
    """

    def __init__(self, mode: PositionMode) -> None:
        super().__init__()
        if mode not in POSITION_MODES:
            raise ValueError(f"Unknown position mode {mode!r}: choose one of {', '.join(POSITION_MODES)}.")
        self.mode = mode

    def forward(self, target: Layout, source: Layout, channels: int, dtype: torch.dtype) -> Codes:
        """Codes of one image where all images share one grid, else of all nodes."""
        device = target.device
        if target.grid is not None:
            return Codes(*_constant(self.mode, target.grid, source.ratio, channels, dtype, device))
        # on the CPU: Apple's GPUs have no float64
        places = [part.split(list(layout.counts)) for layout in (target, source) for part in (_places(layout),)]
        p = [sincos(pos, channels) for pos in places[0]]
        q = (
            p
            if target is source
            else [_source(self.mode, code, pos, channels) for code, pos in zip(p, places[1], strict=True)]
        )
        return Codes(*(torch.cat(code).div(channels**0.5).to(dtype).to(device) for code in (p, q)))

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}"


def _places(layout: Layout) -> Tensor:
    """Positions of all nodes on the CPU; where they lie on grids the device is not asked for them."""
    if layout.sizes is None or layout.device.type == "cpu" or layout.ratio > 1:
        return layout.pos.cpu()
    return Layout.from_sizes(layout.sizes).pos


def _source(mode: PositionMode, p: Tensor, pos: Tensor, channels: int) -> Tensor:
    """Codes of the pooled sources of one image."""
    if mode == "grid":
        return sincos(pos, channels)
    # the published code resizes the columns of the n x n table; that is the resize of the codes themselves
    return F.interpolate(p.t()[None, None], size=(channels, len(pos)), mode="bicubic")[0, 0].t()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _constant(*key: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """A compiler takes the codes of a grid as constants."""
    return _of_grid(*key)


@lru_cache(maxsize=64)
def _of_grid(*key: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Codes of one image, kept. Made in a thread of their own: there no tracer, inference mode or default reaches."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_made, *key).result()


def _made(
    mode: PositionMode, grid: Size, ratio: int, channels: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Codes of one image with this grid, and their products where they are few."""
    target = Layout.from_grid(grid, 1)  # on the CPU: Apple's GPUs have no float64
    p = sincos(target.pos, channels)
    q = p if ratio == 1 else _source(mode, p, target.pooled(ratio).pos, channels)
    p, q = shortened(p, q, eps=torch.finfo(dtype).eps)
    table = (p @ q.t()).div(channels).to(dtype).to(device) if p.size(0) * q.size(0) <= TABLE_LIMIT else None
    p, q = (code.div(channels**0.5).to(dtype).to(device) for code in (p, q))
    return p, q, table


class PositionEmbedding(nn.Module):
    """Learned embedding added to the stem's map; it resizes itself to other grids (bicubic).

    Args:
        channels: Channels C of the map.
        size: Grid (H, W) for which the embedding is stored.

    Shapes: `(B, C, H', W')` to the same.

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
        """The embedding for the grid of a map, `(1, C, H', W')`."""
        weight: Tensor = self.weight
        if x.shape[2:] == weight.shape[2:]:
            return weight
        return F.interpolate(weight, size=x.shape[2:], mode="bicubic")

    def extra_repr(self) -> str:
        return f"{self.weight.size(1)}, size={tuple(self.weight.shape[2:])}"
