"""Neighbour search by products of features: for images with equally many nodes.

Shapes: B images, n targets and m sources an image, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.data import Layout
from vig_pyg.kernels import nearest
from vig_pyg.position import Codes


def dense_edges(
    x: Tensor, layout: Layout, y: Tensor, layout_src: Layout, ranks: list[int], codes: Codes | None
) -> Tensor:
    r"""Edges to sources by falling :math:`x \cdot y - |y|^2 / 2 + p \cdot q`.

    With codes the term in :math:`|y|^2` is left out: it is the same for all unit vectors.

    Args:
        x: Targets `(N, C)` of a batch whose images have equally many nodes.
        layout: Layout of the targets.
        y: Sources `(M, C)`.
        layout_src: Layout of the sources.
        ranks: Which of the sorted sources to return, ascending, each below m.
        codes: Position codes of one image, or `None`.

    Returns:
        `edge_index (2, B n len(ranks))`, sorted by target.
    """
    b = layout.num_graphs
    x, y = x.view(b, layout.counts[0], -1), y.view(b, layout_src.counts[0], -1)  # (N, C) -> (B, n, C)
    if codes is None:  # about their mean, so that the products of features close together do not cancel
        plain, mean = x is y or x.data_ptr() == y.data_ptr(), y.mean(1, keepdim=True)
        y = y - mean
        x = y if plain else x - mean
        bias: Tensor | None = torch.linalg.vector_norm(y, dim=-1).square().mul(-0.5).unsqueeze(1)  # (B, 1, m)
    elif codes.table is not None:
        bias = codes.table.unsqueeze(0)  # (1, n, m)
    else:  # large grids: codes as coordinates, without a table
        x, y = (torch.cat([part, code.expand(b, -1, -1)], 2) for part, code in ((x, codes.p), (y, codes.q)))
        bias = None
    step = ranks[1] - ranks[0] if len(ranks) > 1 else 1
    if ranks == list(range(0, len(ranks) * step, step)):
        return nearest(x, y, bias, ranks[-1] + 1, step)
    edges = nearest(x, y, bias, ranks[-1] + 1)
    return edges.view(2, -1, ranks[-1] + 1)[..., ranks].flatten(1)  # (2, N, k d) -> (2, N k)
