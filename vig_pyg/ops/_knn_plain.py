r"""Neighbor search in plain torch (products and `torch.topk`), and the checks that all implementations share.

Equation and shapes: see `_knn.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from vig_pyg.ops._autocast import autocast_device, autocast_type
from vig_pyg.ops._grid_bias import bias_rows, grid_bias
from vig_pyg.ops._transforms import is_transformed, without_transforms
from vig_pyg.ops.checks import check_features, check_same, is_symbolic

#: Precisions of products on a GPU, with torch's names: float32, TF32 and bfloat16 operands.
Precision = Literal["highest", "high", "medium"]
PRECISIONS: tuple[Precision, ...] = ("highest", "high", "medium")
#: Largest size of the products in bytes without a native kernel. Larger searches run in slices.
SCORE_BUDGET = 32 * 2**20


def unit_rows(x: Tensor, counts: Sequence[int]) -> Tensor:
    """Scale features `(N, C)` to length 1, in float32 or higher precision.

    Args:
        x: The features.
        counts: Number of nodes of each image, or one number if all images have the same number.

    Shapes: `(N, C)` to `(N, C)`.

    Raises:
        TypeError: If the features are not a dense floating-point tensor.
        ValueError: If they have another number of dimensions or, on a CPU, one of them is not finite.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]], dtype=torch.float64), [1]).tolist()
        [[0.6, 0.8]]
    """
    check_features(x, "x", 2)
    x = _wide(x)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    check_finite(norm, counts)
    return x / norm.clamp_min(1e-12)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_finite(norm: Tensor, counts: Sequence[int]) -> None:
    """Check on a CPU that the lengths of features are finite."""
    if norm.device.type != "cpu" or torch.compiler.is_compiling() or is_symbolic(norm):
        return
    finite = without_transforms(norm).isfinite().flatten()
    if not finite.all():
        if is_transformed():
            raise ValueError("Features of a sample are not finite: look for NaN or infinite pixels in the images.")
        node = int((~finite).nonzero()[0, 0])
        raise ValueError(
            f"Feature of node {node}{image_of(node, counts)} is not finite: "
            "look for NaN or infinite pixels in that image, or for weights that have diverged."
        )


def image_of(node: int, counts: Sequence[int]) -> str:
    if len(counts) == 1:
        image = node // max(1, counts[0])
    else:
        image = next((i for i, n in enumerate(accumulate(counts)) if node < n), len(counts))
    return f" (image {image} of the batch)"


def check(
    x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, precision: str = "highest", grid_width: int = 0
) -> None:
    """Check the arguments of the operator."""
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    check_features(x, "x", 3)
    check_features(y, "y", 3)
    check_same(x, y, "Targets x and sources y")
    (b, n, channels), (images, m, width) = x.shape, y.shape
    if b != images or channels != width or channels < 1:
        raise ValueError(
            "Targets (B, n, C) and sources (B, m, C) must have equal numbers of images and channels, at least 1, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}."
        )
    if not 1 <= k <= m or step < 1:
        raise ValueError(
            f"k must be from 1 to {m} (the number of sources) and step at least 1, got k={k} and step={step}."
        )
    rows = bias_rows(n, bias, grid_width)
    if bias is None:
        return
    check_features(bias, "bias", 3)
    shape = bias.shape
    if shape[0] not in (1, b) or shape[1] not in rows or shape[2] != m or bias.device != x.device:
        raise ValueError(
            f"bias must have the shape (1 or {b}, {' or '.join(map(str, rows))}, {m}) on {x.device}, got "
            f"{tuple(shape)} on {bias.device}."
        )


def _scored(x: Tensor, y: Tensor, bias: Tensor | None, normalize: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return features and a bias, in float32 or higher precision; scores are their products plus the bias."""
    x, y = _wide(x), _wide(y)
    if normalize:
        n, m = x.size(1), y.size(1)
        x, y = unit_rows(x.flatten(0, 1), [n]).view_as(x), unit_rows(y.flatten(0, 1), [m]).view_as(y)
    if bias is None:  # the mean is subtracted to avoid cancellation in the products of nearby features
        mean = y.mean(1, keepdim=True)
        x, y = x - mean, y - mean
        bias = y.square().sum(-1).mul(-0.5).unsqueeze(1)  # (B, 1, m)
    return x, y, bias.to(x.dtype)


def knn_plain(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,
    precision: str = "highest",
    grid_width: int = 0,
) -> Tensor:
    check(x, y, k, step, bias, precision, grid_width)
    b, n, m = x.size(0), x.size(1), y.size(1)
    step = min(step, k)
    kept = -(-k // step)
    if b == 0 or n == 0:
        return torch.empty(2, 0, dtype=torch.long, device=x.device)
    if not normalize:
        for part in (x, y):
            check_finite(torch.linalg.vector_norm(_wide(part), dim=-1), [part.size(1)])
    x, y, bias = _scored(x, y, bias, normalize)
    _check_scores(bias)
    source = torch.empty(b, n, kept, dtype=torch.long, device=x.device)
    rows = max(1, min(n, SCORE_BUDGET // (m * x.element_size())))
    images = max(1, min(b, SCORE_BUDGET // (n * m * x.element_size()))) if rows == n else 1
    for i in range(0, b, images):
        of_image = bias[i : i + images] if bias.size(0) > 1 else bias
        for row in range(0, n, rows):
            if grid_width:
                of_row = grid_bias(of_image, grid_width, row, min(row + rows, n))
            else:
                of_row = of_image[:, row : row + rows] if bias.size(1) > 1 else of_image
            with _in_full(x):
                scores = torch.baddbmm(of_row, x[i : i + images, row : row + rows], y[i : i + images].transpose(1, 2))
            source[i : i + images, row : row + rows] = scores.topk(k, dim=-1).indices[..., ::step]
    source += torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    target = torch.arange(b * n, device=x.device).view(b, n, 1).expand(b, n, kept)
    return torch.stack([source, target]).view(2, -1)  # (2, B, n, kept) -> (2, E)


def _check_scores(bias: Tensor) -> None:
    if bias.device.type == "cpu" and not is_symbolic(bias) and bias.isnan().any():
        raise ValueError("Scores are NaN: the bias contains NaN, or features are too large for their type.")


def knn_exported(
    x: Tensor, y: Tensor, k: int, step: int, bias: Tensor | None, normalize: bool, grid_width: int = 0
) -> Tensor:
    """Compute the same for any number of images, all scores at once, with operators that ONNX runtimes support."""
    if grid_width and bias is not None:
        bias = grid_bias(bias, grid_width, 0, x.size(1))
    return edges_of(scores_of(x, y, bias, normalize).topk(k, dim=-1).indices[..., ::step], y.size(1))


def scores_of(x: Tensor, y: Tensor, bias: Tensor | None, normalize: bool) -> Tensor:
    """Return the scores of all sources, `(B, n, m)`; the nearest source has the largest score."""
    x, y, bias = _scored(x, y, bias, normalize)
    with _in_full(x):
        return x @ y.transpose(1, 2) + bias


def _in_full(x: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast does not round the products."""
    return nullcontext() if autocast_type(x) is None else torch.autocast(autocast_device(x), enabled=False)


def edges_of(source: Tensor, num_src: int) -> Tensor:
    """Return the edges `(2, B n kept)` from source indices `(B, n, kept)` within images of `m` sources."""
    b, n, kept = source.shape
    image = torch.arange(b, device=source.device).view(-1, 1, 1)
    target = image * n + torch.arange(n, device=source.device).view(1, -1, 1).expand(-1, -1, kept)
    return torch.stack([(source + image * num_src).flatten(), target.flatten()])
