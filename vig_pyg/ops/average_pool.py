"""Average pooling of feature maps over square windows."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.ops._symbolic import is_open


def average_pool(x: Tensor, ratio: int) -> Tensor:
    """Average over windows of `ratio` x `ratio` cells; a window at the border averages the cells inside the map.

    In training on a GPU, if `ratio` divides H and W, the gradient is computed by one broadcast copy. The gradient of
    `avg_pool2d` is several times slower in channels-last memory format.

    Args:
        x: Feature maps `(B, C, H, W)`.
        ratio: Side length of a window in cells, at least 1.

    Shapes: `(B, C, H, W)` to `(B, C, ⌈H / ratio⌉, ⌈W / ratio⌉)`.

    Example:
        >>> average_pool(torch.tensor([[[[1.0, 2.0, 5.0]]]]), 2).tolist()
        [[[[1.5, 5.0]]]]
    """
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    needs_graph = x.device.type != "cpu" and torch.is_grad_enabled() and x.requires_grad and not transformed
    if needs_graph and x.size(2) % ratio == 0 and x.size(3) % ratio == 0:
        out: Tensor = _WholeCells.apply(x, ratio)
        return out
    if is_open(x.size(2), x.size(3)):
        return _of_any_size(x, ratio)
    return F.avg_pool2d(x, ratio, ceil_mode=True)


def _of_any_size(x: Tensor, ratio: int) -> Tensor:
    """As `average_pool`, for sizes that stay open: `avg_pool2d` depends on whether the windows divide them."""
    height, width = x.shape[2:]
    rows, columns = ((cells - 1) // ratio + 1 for cells in (height, width))
    padded = F.pad(x, (0, columns * ratio - width, 0, rows * ratio - height))  # the windows divide these sizes
    sums = F.avg_pool2d(padded, ratio) * ratio**2
    in_rows, in_columns = (_cells_inside(size, ratio, like=x) for size in (height, width))
    return sums / (in_rows.unsqueeze(1) * in_columns)


def _cells_inside(cells: int, ratio: int, like: Tensor) -> Tensor:
    """Return the number of cells of each window along one axis."""
    first = torch.arange((cells - 1) // ratio + 1, device=like.device) * ratio
    return (cells - first).clamp(max=ratio).to(like.dtype)


class _WholeCells(torch.autograd.Function):
    """Average pooling whose windows all lie inside the map, with a faster gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ratio: int) -> Tensor:
        ctx.ratio = ratio
        return F.avg_pool2d(x, ratio)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (b, c, h, w), r = grad.shape, ctx.ratio
        cells = grad.permute(0, 2, 3, 1).div(r * r).view(b, h, 1, w, 1, c)
        spread = cells.expand(b, h, r, w, r, c).reshape(b, h * r, w * r, c)
        return spread.permute(0, 3, 1, 2), None
