"""Neighbour search by batched matrix products and selection.

Shapes: B images, n targets and m sources an image, C channels, K neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.data import Layout
from vig_pyg.kernels import topk_columns
from vig_pyg.position import Codes

#: Bytes of scores held at once. Larger searches run in slices, so that memory grows with n, not with n m.
SCORE_BUDGET = 32 * 2**20


def dense_neighbors(
    x: Tensor, layout: Layout, y: Tensor, layout_src: Layout, ranks: list[int], codes: Codes | None
) -> Tensor:
    r"""Sources by falling :math:`x \cdot y - |y|^2 / 2 + p \cdot q`.

    With codes the term in :math:`|y|^2` is left out: it is the same for all unit vectors.

    Args:
        x: Targets `(N, C)` of a batch whose images have equally many nodes.
        layout: Layout of the targets.
        y: Sources `(M, C)`.
        layout_src: Layout of the sources.
        ranks: Which of the sorted sources to return, ascending, each below m.
        codes: Position codes of one image, or `None`.

    Returns:
        Indices within the image, `(B, n, len(ranks))`.
    """
    b, n, m = layout.num_graphs, layout.counts[0], layout_src.counts[0]
    x, y = x.view(b, n, -1), y.view(b, m, -1)  # (N, C) -> (B, n, C)
    if codes is None:  # about their mean, so that the scores of features close together do not cancel
        mean = y.mean(1, keepdim=True)
        x, y = x - mean, y - mean
    lengths = None if codes else torch.linalg.vector_norm(y, dim=-1).square().mul(-0.5).unsqueeze(1)  # (B, 1, m)
    images, rows = _slices(b, n, m * x.element_size())
    if (images, rows) == (b, n):
        return _select(x, y, ranks, codes, lengths)
    out = torch.empty(b, n, len(ranks), dtype=torch.long, device=x.device)
    for row in range(0, n, rows):
        part = codes.rows(row, rows) if codes else None
        for i in range(0, b, images):
            here = slice(i, i + images), slice(row, row + rows)
            out[here] = _select(x[here], y[here[0]], ranks, part, lengths[here[0]] if lengths is not None else None)
    return out


def _select(x: Tensor, y: Tensor, ranks: list[int], codes: Codes | None, lengths: Tensor | None) -> Tensor:
    bias = lengths if codes is None else codes.products()  # (B, 1, m), or (n, m), one for all images
    assert bias is not None
    scores = torch.baddbmm(bias, x, y.transpose(1, 2))
    step = ranks[1] - ranks[0] if len(ranks) > 1 else 1
    if ranks == list(range(0, len(ranks) * step, step)):
        return topk_columns(scores, ranks[-1] + 1, step)
    return topk_columns(scores, ranks[-1] + 1)[..., ranks]


def _slices(b: int, n: int, row_bytes: int) -> tuple[int, int]:
    """Images and rows that one slice of scores may hold."""
    rows = max(1, min(n, SCORE_BUDGET // row_bytes))
    return (max(1, min(b, SCORE_BUDGET // (n * row_bytes))), n) if rows == n else (1, rows)
