"""Bicubic resizing of the rows of a matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def resized_rows(p: Tensor, rows: int) -> Tensor:
    r"""Resize the rows of a matrix by bicubic interpolation, as `torch.nn.functional.interpolate` does.

    .. math:: q_i = \sum_{j=-1}^{2} w(t_i - j)\,p_{\lfloor s_i \rfloor + j}, \quad
        s_i = (i + \tfrac{1}{2}) \tfrac{n}{m} - \tfrac{1}{2}, \quad t_i = s_i - \lfloor s_i \rfloor

    with Keys' kernel w (a = -0.75). Exporters support these operations for a dynamic number of rows.

    Args:
        p: Rows `(n, C)`.
        rows: Number of rows m of the result, at least 1.

    Shapes: `(n, C)` to `(m, C)`.

    Returns:
        The resized rows.

    Example:
        >>> resized_rows(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), 2).flatten().tolist()
        [0.40625, 2.59375]
    """
    n, a = p.size(0), -0.75
    place = (torch.arange(rows, dtype=p.dtype, device=p.device) + 0.5) * n / rows - 0.5
    first = place.floor()
    out = torch.zeros_like(p[:1])
    for j in (-1, 0, 1, 2):
        t = (place - first - j).abs()
        near = ((a + 2) * t - (a + 3)) * t * t + 1  # w(t) for t up to 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a  # w(t) for t from 1 to 2
        row = (first.long() + j).clamp(min=0).clamp(max=n - 1)
        out = out + (near if j in (0, 1) else far).unsqueeze(1) * p[row]
    return out
