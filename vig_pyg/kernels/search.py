"""Edges to the nearest sources: a native kernel on processors, `torch.topk` elsewhere.

Equation: source `s` of rank `r * step` by falling :math:`x_i \\cdot y_s + b_{is}`. Shapes: targets `(B, n, C)`, sources
`(B, m, C)`, edges `(2, B n ⌈k / step⌉)`.

The native kernel multiplies a tile of targets with all sources of the image and selects while the products are in the
cache: no n x m matrix is written. It reads a row of products twice: for a bound (the k-th largest of the maxima of
interleaved parts), and for the few that reach it, which it ranks against each other without a branch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vig_pyg.kernels._native import library

#: Bytes of products held at once where there is no native kernel. Larger searches run in slices.
SCORE_BUDGET = 32 * 2**20


def nearest(x: Tensor, y: Tensor, bias: Tensor | None, k: int, step: int = 1) -> Tensor:
    """Edges from every `step`-th of the k best sources to each target, sorted by target, best first.

    Args:
        x: Targets `(B, n, C)`.
        y: Sources `(B, m, C)`, m at least k.
        bias: Added to the products, `(1 or B, 1 or n, m)`.
        k: How many of the best are looked at.
        step: Which of them stay: ranks 0, step, 2 step, ...

    Returns:
        `edge_index (2, E)`: sources counted over the batch, targets. A row with NaN gets source 0 of its image.

    Raises:
        ValueError: If k is not between 1 and m, or step is below 1.

    Example:
        >>> nearest(torch.tensor([[[1.0]]]), torch.tensor([[[3.0], [1.0], [5.0]]]), None, 3, step=2).tolist()
        [[2, 1], [0, 0]]
    """
    if not 1 <= k <= y.size(1) or step < 1:
        raise ValueError(f"Need 1 <= k <= {y.size(1)} (the sources) and step >= 1, got k={k} and step={step}.")
    out: Tensor = torch.ops.vig_pyg.nearest(x, y, bias, k, step)
    return out


def _plain(x: Tensor, y: Tensor, bias: Tensor | None, k: int, step: int) -> Tensor:
    b, n, m = x.size(0), x.size(1), y.size(1)
    kept = -(-k // step)
    source = torch.empty(b, n, kept, dtype=torch.long, device=x.device)
    rows = max(1, min(n, SCORE_BUDGET // (m * x.element_size())))
    images = max(1, min(b, SCORE_BUDGET // (n * m * x.element_size()))) if rows == n else 1
    for i in range(0, b, images):
        for row in range(0, n, rows):
            scores = x[i : i + images, row : row + rows] @ y[i : i + images].transpose(1, 2)
            if bias is not None:
                of_image = bias[i : i + images] if bias.size(0) > 1 else bias
                scores += of_image[:, row : row + rows] if bias.size(1) > 1 else of_image
            source[i : i + images, row : row + rows] = scores.topk(k, dim=-1).indices[..., ::step]
    source += torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    target = torch.arange(b * n, device=x.device).view(b, n, 1).expand(b, n, kept)
    return torch.stack([source, target]).view(2, -1)  # (2, B, n, kept) -> (2, E)


def _native(x: Tensor, y: Tensor, bias: Tensor | None, k: int, step: int) -> Tensor:
    kernels = library()
    if kernels is None or x.dtype != torch.float32:
        return _plain(x, y, bias, k, step)
    x, y = x.contiguous(), y.contiguous()
    b, n, m = x.size(0), x.size(1), y.size(1)
    out = torch.empty(2, b * n * -(-k // step), dtype=torch.long)
    strides, pointer = [0, 0], None
    if bias is not None:
        bias = bias.contiguous()
        strides, pointer = [bias.stride(i) if bias.size(i) > 1 else 0 for i in (0, 1)], bias.data_ptr()
    numbers = (b, n, m, x.size(2), *strides, k, step)
    if kernels.vig_nearest(x.data_ptr(), y.data_ptr(), pointer, *numbers, out.data_ptr(), torch.get_num_threads()):
        raise MemoryError(f"No memory to search {m} sources of {x.size(2)} channels in {b} images.")
    return out


def _fake(x: Tensor, y: Tensor, bias: Tensor | None, k: int, step: int) -> Tensor:  # noqa: ARG001
    return x.new_empty(2, x.size(0) * x.size(1) * -(-k // step), dtype=torch.long)


torch.library.define("vig_pyg::nearest", "(Tensor x, Tensor y, Tensor? bias, int k, int step) -> Tensor")
torch.library.impl("vig_pyg::nearest", "CompositeExplicitAutograd", _plain)
torch.library.impl("vig_pyg::nearest", "CPU", _native)
torch.library.register_fake("vig_pyg::nearest", _fake)


@register_flop_formula(torch.ops.vig_pyg.nearest)
def _flops(x: Any, y: Any, *_: Any, **__: Any) -> int:
    b, n, c = x
    return int(2 * b * n * y[1] * c)
