"""Neighbor search in exported programs with a dynamic number of sources.

For an image with fewer than `k * dilation` sources, the dilation is reduced first, and then k (see
`vig_pyg.graph.dilated_knn.shrink`). Here both are computed at run time.

Shapes: B images, n targets and m sources per image.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.ops._knn_plain import edges_of, scores_of


def knn_any_size(x: Tensor, y: Tensor, k: int, dilation: int, bias: Tensor | None, *, normalize: bool) -> Tensor:
    """Find every `dilation`-th of the `k * dilation` nearest sources of each target, for any number of sources.

    Args:
        x: Targets `(B, n, C)`.
        y: Sources `(B, m, C)`.
        k: Number of neighbors, if an image has enough sources.
        dilation: Spacing of the neighbors, if an image has enough sources.
        bias: Term `(1 or B, 1 or n, m)` added to the inner products, as for `knn`.
        normalize: If true, the features are L2-normalized first.

    Shapes: targets `(B, n, C)` and sources `(B, m, C)` to edges `(2, E)`.

    Returns:
        `edge_index (2, E)`, as `knn` returns it for the reduced k and dilation.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> knn_any_size(x, x, 2, 2, None, normalize=False)[0].tolist()
        [0, 1, 1, 0, 2, 1]
    """
    m = y.size(1)
    # Padded, so that `topk` always finds enough columns.
    scores = F.pad(scores_of(x, y, bias, normalize), (0, k * dilation), value=-torch.inf)
    nearest = scores.topk((k - 1) * dilation + 1, dim=-1).indices
    kept: Any = torch.sym_min(k, m)
    step: Any = torch.sym_max(1, torch.sym_min(dilation, m // kept))
    ranks = torch.arange(kept, device=x.device) * step  # a slice would specialize the program
    return edges_of(nearest.index_select(2, ranks), m)
