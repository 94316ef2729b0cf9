r"""Edges to the nearest sources: native kernels on processors and GPUs, `torch.topk` elsewhere.

Equation: the sources of rank 0, `step`, `2 step`, ... by falling :math:`x_i \cdot y_s + b_{is}`, or without a bias by
rising distance. Shapes: targets `(B, n, C)`, sources `(B, m, C)`, edges `(2, B n ⌈k / step⌉)`.

The native kernel multiplies a tile of targets with all sources of the image and selects while the products are in the
cache: no n x m matrix is written. It reads a row of products twice: for a bound (the k-th largest of the maxima of
interleaved parts), and for the few that reach it, which it ranks against each other without a branch. On a GPU see
`triton_search.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vig_pyg.kernels._native import library
from vig_pyg.kernels._triton import triton_kernels

#: Bytes of products held at once where there is no native kernel. Larger searches run in slices.
SCORE_BUDGET = 32 * 2**20


def nearest(
    x: Tensor, y: Tensor, k: int, *, step: int = 1, bias: Tensor | None = None, normalize: bool = False
) -> Tensor:
    """Edges from every `step`-th of the k best sources to each target, sorted by target, best first.

    Args:
        x: Targets `(B, n, C)`. Products are taken in float32 or better.
        y: Sources `(B, m, C)`, m at least k.
        k: How many of the best are looked at.
        step: Which of them stay: ranks 0, step, 2 step, ...
        bias: Added to the inner products, `(1 or B, 1 or n, m)`; without it the order is that of distance.
        normalize: Whether features are scaled to length 1 before.

    Returns:
        `edge_index (2, E)`: sources counted over the batch, targets.

    Raises:
        ValueError: If k is not between 1 and m, step is below 1, or (on a processor) a feature is not finite.

    Example:
        >>> nearest(torch.tensor([[[1.2]]]), torch.tensor([[[3.0], [1.0], [5.0]]]), 3, step=2).tolist()
        [[1, 2], [0, 0]]
    """
    if not 1 <= k <= y.size(1) or step < 1:
        raise ValueError(f"Need 1 <= k <= {y.size(1)} (the sources) and step >= 1, got k={k} and step={step}.")
    if torch.compiler.is_exporting():
        return _exported(x, y, k, step, bias, normalize)
    out: Tensor = torch.ops.vig_pyg.nearest(x, y, k, step, bias, normalize)
    return out


def unit_rows(x: Tensor, counts: Sequence[int]) -> Tensor:
    """Features `(N, C)` scaled to length 1, in float32 or better.

    Args:
        x: Features.
        counts: Nodes of each image; one number where all have equally many.

    Raises:
        ValueError: If, on a processor, a feature is not finite.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]], dtype=torch.float64), [1]).tolist()
        [[0.6, 0.8]]
    """
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    norm = x.norm(dim=-1, keepdim=True)
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        finite = norm.isfinite().flatten()
        if not finite.all():
            _refuse(int((~finite).nonzero()[0, 0]), counts)
    return x / norm.clamp_min(1e-12)


def _refuse(node: int, counts: Sequence[int]) -> None:
    image = node // counts[0] if len(counts) == 1 else next(i for i, n in enumerate(accumulate(counts)) if node < n)
    raise ValueError(
        f"Feature of node {node} (image {image} of the batch) is not finite: "
        "look for NaN or infinite pixels in that image, or for weights that have diverged."
    )


def _scored(x: Tensor, y: Tensor, bias: Tensor | None, normalize: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Features and a bias whose products and sums are the scores."""
    if normalize:
        n, m = x.size(1), y.size(1)
        x, y = unit_rows(x.flatten(0, 1), [n]).view_as(x), unit_rows(y.flatten(0, 1), [m]).view_as(y)
    if bias is None:  # about their mean, so that the products of features close together do not cancel
        mean = y.mean(1, keepdim=True)
        x, y = x - mean, y - mean
        bias = y.square().sum(-1).mul(-0.5).unsqueeze(1)  # (B, 1, m)
    return x, y, bias


def _plain(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    b, n, m = x.size(0), x.size(1), y.size(1)
    kept = -(-k // step)
    x, y, bias = _scored(x, y, bias, normalize)
    source = torch.empty(b, n, kept, dtype=torch.long, device=x.device)
    rows = max(1, min(n, SCORE_BUDGET // (m * x.element_size())))
    images = max(1, min(b, SCORE_BUDGET // (n * m * x.element_size()))) if rows == n else 1
    for i in range(0, b, images):
        of_image = bias[i : i + images] if bias.size(0) > 1 else bias
        for row in range(0, n, rows):
            of_row = of_image[:, row : row + rows] if bias.size(1) > 1 else of_image
            scores = torch.baddbmm(of_row, x[i : i + images, row : row + rows], y[i : i + images].transpose(1, 2))
            source[i : i + images, row : row + rows] = scores.topk(k, dim=-1).indices[..., ::step]
    source += torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    target = torch.arange(b * n, device=x.device).view(b, n, 1).expand(b, n, kept)
    return torch.stack([source, target]).view(2, -1)  # (2, B, n, kept) -> (2, E)


def _exported(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    """The same in operators that every runtime knows, whatever the number of images; all scores at once."""
    x, y, bias = _scored(x, y, bias, normalize)
    source = (x @ y.transpose(1, 2) + bias).topk(k, dim=-1).indices[..., ::step]  # (B, n, kept)
    image = torch.arange(x.size(0), device=x.device).view(-1, 1, 1)
    target = image * x.size(1) + torch.arange(x.size(1), device=x.device).view(1, -1, 1).expand(-1, -1, source.size(2))
    return torch.stack([(source + image * y.size(1)).flatten(), target.flatten()])


def _native(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    kernels = library()
    if kernels is None or x.dtype != y.dtype or x.dtype not in (torch.float32, torch.bfloat16):
        return _plain(x, y, k, step, bias, normalize)
    x, y = x.contiguous(), y.contiguous()
    b, n, m = x.size(0), x.size(1), y.size(1)
    out, bad = torch.empty(2, b * n * -(-k // step), dtype=torch.long), torch.empty(2, dtype=torch.long)
    strides, pointer = [0, 0], None
    if bias is not None:
        bias = bias.float().contiguous()
        strides, pointer = [bias.stride(i) if bias.size(i) > 1 else 0 for i in (0, 1)], bias.data_ptr()
    numbers = int(x.dtype == torch.bfloat16), int(normalize), b, n, m, x.size(2), *strides, k, step
    outputs = out.data_ptr(), bad.data_ptr()
    code = kernels.vig_nearest(x.data_ptr(), y.data_ptr(), pointer, *numbers, *outputs, torch.get_num_threads())
    if code == 1:
        raise MemoryError(f"No memory to search {m} sources of {x.size(2)} channels in {b} images.")
    if code == 2:
        target, source = bad.tolist()
        _refuse(*((target, [n]) if target >= 0 else (source, [m])))
    return out


def _on_gpu(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    kernels = triton_kernels()
    if kernels is None or k > kernels.search.MOST_NEIGHBORS or torch.float64 in (x.dtype, y.dtype):
        return _plain(x, y, k, step, bias, normalize)
    x, y, bias = _scored(x.float(), y.float(), bias, normalize)
    found: Tensor = kernels.search.search(x, y, k, step, bias.float())
    return found


def _fake(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:  # noqa: ARG001
    return x.new_empty(2, x.size(0) * x.size(1) * -(-k // step), dtype=torch.long)


_ARGUMENTS = "Tensor x, Tensor y, int k, int step, Tensor? bias, bool normalize"
torch.library.define("vig_pyg::nearest", f"({_ARGUMENTS}) -> Tensor")
torch.library.impl("vig_pyg::nearest", "CompositeExplicitAutograd", _plain)
torch.library.impl("vig_pyg::nearest", "CPU", _native)
torch.library.impl("vig_pyg::nearest", "CUDA", _on_gpu)
torch.library.register_fake("vig_pyg::nearest", _fake)


@register_flop_formula(torch.ops.vig_pyg.nearest)
def _flops(x: Any, y: Any, *_: Any, **__: Any) -> int:
    b, n, c = x
    return int(2 * b * n * y[1] * c)
