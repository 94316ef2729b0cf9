"""Neighbour search by batched matrix products and top-k.

Shapes: B images, n targets and m sources an image, C channels, K neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.data import Layout

#: Bytes of scores held at once. Larger searches run in slices, so that memory grows with n, not with n m.
SCORE_BUDGET = 64 * 2**20


def dense_neighbors(
    x: Tensor, layout: Layout, y: Tensor, layout_src: Layout, k: int, codes: tuple[Tensor, Tensor] | None
) -> Tensor:
    r"""The k sources with the largest :math:`x \cdot y - |y|^2 / 2 + p \cdot q`, best first.

    With codes the term in :math:`|y|^2` is left out: it is the same for all unit vectors.

    Args:
        x: Targets `(N, C)` of a batch whose images have equally many nodes.
        layout: Layout of the targets.
        y: Sources `(M, C)`.
        layout_src: Layout of the sources.
        k: Neighbours of each target, at most m.
        codes: Position codes p `(n, C)` and q `(m, C)` of one image, or `None`.

    Returns:
        Indices within the image, `(B, n, k)`.
    """
    b, n, m = layout.num_graphs, layout.counts[0], layout_src.counts[0]
    x, y = x.view(b, n, -1), y.view(b, m, -1)  # (N, C) -> (B, n, C)
    lengths = None if codes else y.square().sum(-1).mul(-0.5).unsqueeze(1)  # (B, 1, m)
    images, rows = _slices(b, n, m * x.element_size())
    if (images, rows) == (b, n):
        return _best(x, y, k, codes, lengths)
    out = torch.empty(b, n, k, dtype=torch.long, device=x.device)
    for row in range(0, n, rows):
        part = (codes[0][row : row + rows], codes[1]) if codes else None
        for i in range(0, b, images):
            here = slice(i, i + images), slice(row, row + rows)
            out[here] = _best(x[here], y[here[0]], k, part, lengths[here[0]] if lengths is not None else None)
    return out


def _best(x: Tensor, y: Tensor, k: int, codes: tuple[Tensor, Tensor] | None, lengths: Tensor | None) -> Tensor:
    bias = codes[0] @ codes[1].t() if codes else lengths  # (n, m), one for all images, or (B, 1, m)
    assert bias is not None
    return torch.baddbmm(bias, x, y.transpose(1, 2)).topk(k, dim=-1).indices


def _slices(b: int, n: int, row_bytes: int) -> tuple[int, int]:
    """Images and rows that one slice of scores may hold."""
    rows = max(1, min(n, SCORE_BUDGET // row_bytes))
    return (max(1, min(b, SCORE_BUDGET // (n * row_bytes))), n) if rows == n else (1, rows)
