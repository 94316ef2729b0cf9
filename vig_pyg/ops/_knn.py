r"""Edges to the nearest sources: native kernels on CPUs and GPUs, `torch.topk` elsewhere.

Equation: the sources of rank 0, `step`, `2 step`, ... by falling :math:`x_i \cdot y_s + b_{is}`, or without a bias by
rising distance. Shapes: targets `(B, n, C)`, sources `(B, m, C)`, edges `(2, B n ⌈k / step⌉)`.

The native kernel multiplies a tile of targets with all sources of the image and selects while the products are in the
cache: no n x m matrix is written. It reads a row of products twice: for a bound (the k-th largest of the maxima of
interleaved parts), and for the few that reach it, which it ranks against each other without a branch. On a GPU see
`_triton_knn.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vig_pyg.ops._exporting import is_exporting
from vig_pyg.ops._knn_plain import Precision, check, check_finite, image_of, knn_exported, knn_plain
from vig_pyg.ops._native import library
from vig_pyg.ops._triton import MOST_IMAGES, TritonKernels, triton_kernels
from vig_pyg.ops.checks import address

#: Sources of one image that the native kernel can number.
MOST_SOURCES = 2**31 - 33


def knn(
    x: Tensor,
    y: Tensor,
    k: int,
    *,
    step: int = 1,
    bias: Tensor | None = None,
    normalize: bool = False,
    precision: Precision = "highest",
) -> Tensor:
    """Edges from every `step`-th of the k best sources to each target, sorted by target, best first.

    Args:
        x: Targets `(B, n, C)`. Products are taken in float32 or better.
        y: Sources `(B, m, C)`, m at least k.
        k: How many of the best are looked at.
        step: Which of them stay: ranks 0, step, 2 step, ...
        bias: Added to the inner products, `(1 or B, 1 or n, m)`; without it the order is that of distance.
        normalize: Whether features are scaled to length 1 before.
        precision: Of the products of float32 features on a GPU: `"highest"` keeps float32's order, `"high"` multiplies
            in TF32, `"medium"` in bfloat16. CPUs always take the highest, as do features in 16 bits, whose products
            float32 holds without rounding.

    Returns:
        `edge_index (2, E)`: sources counted over the batch, targets.

    Raises:
        TypeError: If features or bias are no dense tensors of floating-point numbers.
        ValueError: If k is not between 1 and m, step is below 1, types, devices or shapes do not fit, or (on a CPU) a
            feature is not finite or a score is NaN.

    Example:
        >>> knn(torch.tensor([[[1.2]]]), torch.tensor([[[3.0], [1.0], [5.0]]]), 3, step=2).tolist()
        [[1, 2], [0, 0]]
    """
    tensors = isinstance(x, Tensor) and isinstance(y, Tensor) and isinstance(bias, Tensor | None)
    if is_exporting() or not tensors:
        check(x, y, k, step, bias, precision)
        return knn_exported(x, y, k, step, bias, normalize)
    out: Tensor = torch.ops.vig_pyg.knn(x, y, k, step, bias, normalize, precision)
    return out


def neighbors(
    x: Tensor, y: Tensor, k: int, *, step: int, bias: Tensor | None, normalize: bool, precision: Precision
) -> Tensor:
    """The same without edges: sources numbered within their image, `(B, n, ⌈k / step⌉)`, for other kernels.

    The numbers are int16 for up to 2**15 sources, else int32.
    """
    kernels = _kernels_for(x, k) if x.is_cuda else None
    if kernels is not None:
        check(x, y, k, step, bias, precision)
        found: Tensor = kernels.search.neighbors(
            x, y, k, step=step, bias=bias, normalize=normalize, precision=precision
        )
        return found
    edges: Tensor = torch.ops.vig_pyg.knn(x, y, k, step, bias, normalize, precision)
    b, m = x.size(0), y.size(1)
    source = edges[0].view(b, x.size(1), -(-k // min(step, k)))  # (E) -> (B, n, kept)
    source = source - torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    return source.to(torch.int16 if m <= 2**15 else torch.int32)


def _native(
    x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool, precision: str = "highest"
) -> Tensor:
    check(x, y, k, step, bias, precision)
    kernels, dtype = library(), x.dtype
    (b, n, channels), (_, m, _) = x.shape, y.shape
    if kernels is None or dtype not in (torch.float32, torch.bfloat16) or m > MOST_SOURCES:
        return knn_plain(x, y, k, step, bias, normalize)
    x, y, step = x.contiguous(), y.contiguous(), min(step, k)
    features = address(x, dtype, (b, n, channels), "x"), address(y, dtype, (b, m, channels), "y")
    out, bad = (x.new_empty(size, dtype=torch.long) for size in ((2, b * n * -(-k // step)), 2))
    if out.numel() == 0:
        return out
    strides, pointer = [0, 0], None
    if bias is not None:
        bias = bias.float().contiguous()
        shape = bias.shape
        pointer = address(bias, torch.float32, shape, "bias")
        strides = [shape[1] * m if shape[0] > 1 else 0, m if shape[1] > 1 else 0]
    numbers = int(dtype == torch.bfloat16), int(normalize), b, n, m, channels, *strides, k, step
    code = kernels.vig_nearest(*features, pointer, *numbers, out.data_ptr(), bad.data_ptr(), torch.get_num_threads())
    if code == 1:
        raise MemoryError(f"No memory to search {m} sources of {channels} channels in {b} images.")
    if code == 2:
        _refuse(x, y, int(bad[0]))
    return out


def _refuse(x: Tensor, y: Tensor, target: int) -> None:
    """The error for features or scores that the native kernel has refused."""
    for part in (x, y):
        check_finite(part.float().norm(dim=-1), [part.size(1)])
    raise ValueError(
        f"Scores of node {target}{image_of(target, [x.size(1)])} are NaN: the bias holds NaN, or features are too "
        "large for their type."
    )


def _on_gpu(
    x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool, precision: str = "highest"
) -> Tensor:
    kernels = _kernels_for(x, k)
    if kernels is None:
        return knn_plain(x, y, k, step, bias, normalize)
    check(x, y, k, step, bias, precision)
    options = {"step": step, "bias": bias, "normalize": normalize, "precision": precision}
    edges: Tensor = kernels.search.neighbors(x, y, k, edges=True, **options)
    return edges


def _kernels_for(x: Tensor, k: int) -> TritonKernels | None:
    """The kernels for GPUs, if they have one for these types and sizes."""
    kernels = triton_kernels()
    if kernels is None or k > kernels.search.MOST_NEIGHBORS or x.dtype == torch.float64 or x.size(0) > MOST_IMAGES:
        return None
    return kernels


def _fake(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,  # noqa: ARG001
    precision: str = "highest",
) -> Tensor:
    check(x, y, k, step, bias, precision)
    return x.new_empty(2, x.size(0) * x.size(1) * -(-k // step), dtype=torch.long)


_ARGUMENTS = "Tensor x, Tensor y, int k, int step, Tensor? bias, bool normalize, str precision='highest'"
torch.library.define("vig_pyg::knn", f"({_ARGUMENTS}) -> Tensor")
torch.library.impl("vig_pyg::knn", "CompositeExplicitAutograd", knn_plain)
torch.library.impl("vig_pyg::knn", "CPU", _native)
torch.library.impl("vig_pyg::knn", "CUDA", _on_gpu)
torch.library.register_fake("vig_pyg::knn", _fake)


@register_flop_formula(torch.ops.vig_pyg.knn)
def _flops(x: Any, y: Any, *_: Any, **__: Any) -> int:
    b, n, c = x
    return int(2 * b * n * y[1] * c)
