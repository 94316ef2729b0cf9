r"""Edges to the nearest sources: native kernels on CPUs and GPUs, `torch.topk` elsewhere.

Equation: the sources of rank 0, `step`, `2 step`, ... by falling :math:`x_i \cdot y_s + b_{is}`, or without a bias by
rising distance. Shapes: targets `(B, n, C)`, sources `(B, m, C)`, edges `(2, B n ⌈k / step⌉)`.

The native kernel multiplies a tile of targets with all sources of the image and selects while the products are in the
cache: no n x m matrix is written. It reads a row of products twice: for a bound (the k-th largest of the maxima of
interleaved parts), and for the few that reach it, which it ranks against each other without a branch. On a GPU see
`_triton_knn.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vig_pyg.ops._native import library
from vig_pyg.ops._triton import triton_kernels
from vig_pyg.ops.checks import address, check_features, check_same, is_symbolic

#: Of products on a GPU, in torch's words: float32, TF32, or bfloat16 operands.
PRECISIONS = ("highest", "high", "medium")
#: Sources of one image that the native kernel can number.
MOST_SOURCES = 2**31 - 33
#: Bytes of products held at once where there is no native kernel. Larger searches run in slices.
SCORE_BUDGET = 32 * 2**20


def knn(x: Tensor, y: Tensor, k: int, *, step: int = 1, bias: Tensor | None = None, normalize: bool = False) -> Tensor:
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
        TypeError: If features or bias are no dense tensors of floating-point numbers.
        ValueError: If k is not between 1 and m, step is below 1, types, devices or shapes do not fit, or (on a CPU) a
            feature is not finite or a score is NaN.

    Example:
        >>> knn(torch.tensor([[[1.2]]]), torch.tensor([[[3.0], [1.0], [5.0]]]), 3, step=2).tolist()
        [[1, 2], [0, 0]]
    """
    tensors = isinstance(x, Tensor) and isinstance(y, Tensor) and isinstance(bias, Tensor | None)
    if torch.compiler.is_exporting() or not tensors:
        _check(x, y, k, step, bias)
        return _exported(x, y, k, step, bias, normalize)
    out: Tensor = torch.ops.vig_pyg.knn(x, y, k, step, bias, normalize)
    return out


def neighbors(
    x: Tensor, y: Tensor, k: int, *, step: int, bias: Tensor | None, normalize: bool, precision: str
) -> Tensor:
    """The same without edges: sources numbered within their image, `(B, n, ⌈k / step⌉)`, for other kernels.

    The numbers are int16 for up to 2**15 sources, else int32.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown knn_precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    edges: Tensor = torch.ops.vig_pyg.knn(x, y, k, step, bias, normalize)
    b, m = x.size(0), y.size(1)
    source = edges[0].view(b, x.size(1), -(-k // min(step, k)))  # (E) -> (B, n, kept)
    source = source - torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    return source.to(torch.int16 if m <= 2**15 else torch.int32)


def unit_rows(x: Tensor, counts: Sequence[int]) -> Tensor:
    """Features `(N, C)` scaled to length 1, in float32 or better.

    Args:
        x: Features.
        counts: Nodes of each image; one number where all have equally many.

    Raises:
        TypeError: If the features are no dense tensor of floating-point numbers.
        ValueError: If they have another number of dimensions or, on a CPU, one of them is not finite.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]], dtype=torch.float64), [1]).tolist()
        [[0.6, 0.8]]
    """
    check_features(x, "x", 2)
    x = _wide(x)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    _check_finite(norm, counts)
    return x / norm.clamp_min(1e-12)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check_finite(norm: Tensor, counts: Sequence[int]) -> None:
    """Checks the lengths of features, on a CPU."""
    if norm.device.type != "cpu" or torch.compiler.is_compiling() or is_symbolic(norm):
        return
    finite = norm.isfinite().flatten()
    if not finite.all():
        node = int((~finite).nonzero()[0, 0])
        raise ValueError(
            f"Feature of node {node}{_image(node, counts)} is not finite: "
            "look for NaN or infinite pixels in that image, or for weights that have diverged."
        )


def _image(node: int, counts: Sequence[int]) -> str:
    if len(counts) == 1:
        image = node // max(1, counts[0])
    else:
        image = next((i for i, n in enumerate(accumulate(counts)) if node < n), len(counts))
    return f" (image {image} of the batch)"


def _check(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None) -> None:
    """Checks what the operator was called with, by anybody."""
    check_features(x, "x", 3)
    check_features(y, "y", 3)
    check_same(x, y, "Targets x and sources y")
    (b, n, channels), (images, m, width) = x.shape, y.shape
    if b != images or channels != width or channels < 1:
        raise ValueError(
            "Targets (B, n, C) and sources (B, m, C) must have as many images and channels, one at least, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}."
        )
    if not 1 <= k <= m or step < 1:
        raise ValueError(f"Need 1 <= k <= {m} (the sources) and step >= 1, got k={k} and step={step}.")
    if bias is None:
        return
    check_features(bias, "bias", 3)
    shape = bias.shape
    if shape[0] not in (1, b) or shape[1] not in (1, n) or shape[2] != m or bias.device != x.device:
        raise ValueError(
            f"bias must have the shape (1 or {b}, 1 or {n}, {m}) on {x.device}, got {tuple(shape)} on {bias.device}."
        )


def _scored(x: Tensor, y: Tensor, bias: Tensor | None, normalize: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Features and a bias whose products and sums are the scores, all in float32 or better."""
    x, y = _wide(x), _wide(y)
    if normalize:
        n, m = x.size(1), y.size(1)
        x, y = unit_rows(x.flatten(0, 1), [n]).view_as(x), unit_rows(y.flatten(0, 1), [m]).view_as(y)
    if bias is None:  # about their mean, so that the products of features close together do not cancel
        mean = y.mean(1, keepdim=True)
        x, y = x - mean, y - mean
        bias = y.square().sum(-1).mul(-0.5).unsqueeze(1)  # (B, 1, m)
    return x, y, bias.to(x.dtype)


def _plain(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    _check(x, y, k, step, bias)
    b, n, m = x.size(0), x.size(1), y.size(1)
    step = min(step, k)
    kept = -(-k // step)
    if b == 0 or n == 0:
        return torch.empty(2, 0, dtype=torch.long, device=x.device)
    if not normalize:
        for part in (x, y):
            _check_finite(torch.linalg.vector_norm(_wide(part), dim=-1), [part.size(1)])
    x, y, bias = _scored(x, y, bias, normalize)
    _check_scores(bias)
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


def _check_scores(bias: Tensor) -> None:
    if bias.device.type == "cpu" and not is_symbolic(bias) and bias.isnan().any():
        raise ValueError("Scores are NaN: the bias holds NaN, or features are too large for their type.")


def _exported(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    """The same in operators that every runtime knows, whatever the number of images; all scores at once."""
    x, y, bias = _scored(x, y, bias, normalize)
    source = (x @ y.transpose(1, 2) + bias).topk(k, dim=-1).indices[..., ::step]  # (B, n, kept)
    image = torch.arange(x.size(0), device=x.device).view(-1, 1, 1)
    target = image * x.size(1) + torch.arange(x.size(1), device=x.device).view(1, -1, 1).expand(-1, -1, source.size(2))
    return torch.stack([(source + image * y.size(1)).flatten(), target.flatten()])


def _native(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    _check(x, y, k, step, bias)
    kernels, dtype = library(), x.dtype
    (b, n, channels), (_, m, _) = x.shape, y.shape
    if kernels is None or dtype not in (torch.float32, torch.bfloat16) or m > MOST_SOURCES:
        return _plain(x, y, k, step, bias, normalize)
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
        _check_finite(part.float().norm(dim=-1), [part.size(1)])
    raise ValueError(
        f"Scores of node {target}{_image(target, [x.size(1)])} are NaN: the bias holds NaN, or features are too large "
        "for their type."
    )


def _on_gpu(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:
    kernels = triton_kernels()
    if kernels is None or k > kernels.search.MOST_NEIGHBORS or x.dtype == torch.float64:
        return _plain(x, y, k, step, bias, normalize)
    _check(x, y, k, step, bias)
    step = min(step, k)
    if x.numel() == 0:
        return torch.empty(2, 0, dtype=torch.long, device=x.device)
    x, y, bias = _scored(x.float(), y.float(), bias, normalize)
    found: Tensor = kernels.search.search(x, y, k, step, bias.float())
    return found


def _fake(x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool) -> Tensor:  # noqa: ARG001
    _check(x, y, k, step, bias)
    return x.new_empty(2, x.size(0) * x.size(1) * -(-k // step), dtype=torch.long)


_ARGUMENTS = "Tensor x, Tensor y, int k, int step, Tensor? bias, bool normalize"
torch.library.define("vig_pyg::knn", f"({_ARGUMENTS}) -> Tensor")
torch.library.impl("vig_pyg::knn", "CompositeExplicitAutograd", _plain)
torch.library.impl("vig_pyg::knn", "CPU", _native)
torch.library.impl("vig_pyg::knn", "CUDA", _on_gpu)
torch.library.register_fake("vig_pyg::knn", _fake)


@register_flop_formula(torch.ops.vig_pyg.knn)
def _flops(x: Any, y: Any, *_: Any, **__: Any) -> int:
    b, n, c = x
    return int(2 * b * n * y[1] * c)
