"""Neighbor search by matrix products, for batches whose images have the same number of nodes.

Shapes: B images, n targets and m sources per image, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.ops import Precision, knn, unit_rows
from vig_pyg.position import Codes


def dense_edges(
    x: Tensor,
    layout: BatchLayout,
    y: Tensor,
    layout_src: BatchLayout,
    ranks: list[int],
    codes: Codes | None,
    *,
    precision: Precision = "highest",
) -> Tensor:
    r"""Return the edges to each target from the sources with the largest :math:`\hat{x} \cdot \hat{y} + p \cdot q`.

    Hats denote L2-normalized features.

    Args:
        x: Targets `(N, C)` of a batch whose images have the same number of nodes.
        ranks: Ranks of the sorted sources to return, ascending, each below m.
        codes: Position codes of one image, or `None`.
        precision: Precision of the matrix products on a GPU (see `DilatedKNN`).

    Returns:
        `edge_index (2, B n len(ranks))`, sorted by target, then by rank.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]); layout = BatchLayout.from_sizes([(1, 3)])
        >>> dense_edges(x, layout, x, layout, [0, 1], None).tolist()
        [[0, 1, 1, 0, 2, 1], [0, 0, 1, 1, 2, 2]]
    """
    x, y, bias, options = dense_arguments(x, layout, y, layout_src, codes)
    step = ranks[1] - ranks[0] if len(ranks) > 1 else 1
    regular = ranks == list(range(0, len(ranks) * step, step))
    edges = knn(x, y, ranks[-1] + 1, step=step if regular else 1, bias=bias, precision=precision, **options)
    if regular:
        return edges
    return edges.view(2, -1, ranks[-1] + 1)[..., ranks].flatten(1)  # (2, N, k d) -> (2, N k)


def dense_arguments(
    x: Tensor, layout: BatchLayout, y: Tensor, layout_src: BatchLayout, codes: Codes | None
) -> tuple[Tensor, Tensor, Tensor | None, dict[str, Any]]:
    """Return the arguments of `vig_pyg.ops.knn`: targets `(B, n, C)`, sources `(B, m, C)`, bias and options.

    Example:
        >>> layout = BatchLayout.from_sizes([(1, 3), (1, 3)]); x = torch.rand(6, 8)
        >>> dense_arguments(x, layout, x, layout, None)[0].shape
        torch.Size([2, 3, 8])
    """
    (n,), (m,) = layout.distinct_num_nodes, layout_src.distinct_num_nodes
    b, bias, normalize, width = layout.num_graphs, None, True, 0
    added = None if codes is None or layout.grid_size is None else codes.bias(layout.grid_size)
    if added is not None:
        bias, width = added
    elif codes is not None:  # on a large grid, codes are additional coordinates, and a bias of 0 selects inner products
        x, y = unit_rows(x, layout.distinct_num_nodes), unit_rows(y, layout_src.distinct_num_nodes)
        bias, normalize = x.new_zeros(1, 1, m), False
    x, y = x.view(-1, n, x.size(1)), y.view(-1, m, y.size(1))  # (N, C) -> (B, n, C)
    if codes is not None and added is None:
        x, y = (torch.cat([part, code.expand(b, -1, -1)], 2) for part, code in ((x, codes.p), (y, codes.q)))
    return x, y, bias, {"normalize": normalize, "grid_width": width}
