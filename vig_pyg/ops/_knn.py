r"""k-nearest-neighbor search: native kernels on CPUs and GPUs, `torch.topk` elsewhere.

Equation: the sources are sorted by descending :math:`x_i \cdot y_s + b_{is}`, or without a bias by ascending distance,
and the ranks 0, `step`, `2 step`, ... are selected. Shapes: targets `(B, n, C)`, sources `(B, m, C)`, edges
`(2, B n ⌈k / step⌉)`.

The native CPU kernel multiplies a tile of targets with all sources of the image, and selects neighbors while the
products are in the cache, so no n x m matrix is written. It reads each row of products twice. The first pass divides
the row into interleaved parts, and computes a bound, the k-th largest of their maxima. The second pass collects the few
products that reach the bound, which are then ranked against each other without branches. CPUs with AVX512-BF16 multiply
normalized features in bfloat16 two channels at a time: products of bfloat16 are exact in float32, in which they are
summed, so the neighbors are those of the search in float32 but for equal scores. The GPU kernel is described in
`_triton_knn.py`. It is used for all sizes. Even for one image, torch's operations were 3 to 4 times slower (0.49 to
0.57 ms instead of 0.13 to 0.17 ms on an H200, `gpu_kernels_2026-11-27.json`), and `torch.topk` does not define the
order of equal scores.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vig_pyg.ops._eager import is_eager_on_gpu
from vig_pyg.ops._exporting import is_exporting
from vig_pyg.ops._grid_bias import grid_bias
from vig_pyg.ops._knn_plain import Precision, check, check_finite, image_of, knn_exported, knn_plain
from vig_pyg.ops._knn_samples import knn_rule
from vig_pyg.ops._native import library
from vig_pyg.ops._transforms import no_context, no_gradients, transformable
from vig_pyg.ops._triton import MOST_IMAGES, TritonKernels, runs_search_on, triton_kernels
from vig_pyg.ops.checks import address

#: Largest number of sources per image that the native kernel supports.
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
    grid_width: int = 0,
) -> Tensor:
    """Find the k nearest sources of each target, and return the edges from every `step`-th of them.

    Args:
        x: Targets `(B, n, C)`. Their products with the sources are accumulated in float32 or better.
        y: Sources `(B, m, C)`, where m is at least k.
        k: Number of nearest sources that are ranked.
        step: Spacing of the selected ranks 0, step, 2 step, ... below k.
        bias: Term `(1 or B, 1 or n, m)` added to the inner products, by which the sources are then sorted. Without it,
            they are sorted by distance.
        normalize: If true, the features are L2-normalized first.
        precision: Precision of the products of float32 features on a GPU: `"highest"` keeps the precision of
            float32, `"high"` uses TF32, and `"medium"` uses bfloat16. It has no effect on a CPU, nor on 16-bit
            features, whose products are exact in float32.
        grid_width: Width W of the grid of the targets if `bias` contains column and row terms, `(1 or B, W + H, m)`.
            Target i, in raster order, then has the bias `bias[:, i % W] + bias[:, W + i // W]`. The default, 0, means
            that `bias` is the bias itself.

    Shapes: targets `(B, n, C)` and sources `(B, m, C)` to edges `(2, B n ⌈k / step⌉)`.

    Returns:
        `edge_index (2, E)`, sorted by target, nearest first. Row 0 holds the indices of the sources in the whole batch,
        row 1 those of the targets.

    Raises:
        TypeError: If features or bias are not dense floating-point tensors.
        ValueError: If k is not between 1 and m, if step is below 1, if dtypes, devices or shapes do not match, if the
            targets do not fill a grid of this width, or (on a CPU) if a feature is not finite or a score is NaN.

    Example:
        >>> knn(torch.tensor([[[1.2]]]), torch.tensor([[[3.0], [1.0], [5.0]]]), 3, step=2).tolist()
        [[1, 2], [0, 0]]
    """
    tensors = isinstance(x, Tensor) and isinstance(y, Tensor) and isinstance(bias, Tensor | None)
    # The operator raises an error for other types of numbers.
    if type(k) is type(step) is int and is_eager_on_gpu(x, y):
        return _on_gpu(x, y, k, step, bias, normalize, precision, grid_width)
    if is_exporting() or not tensors:
        check(x, y, k, step, bias, precision, grid_width)
        return knn_exported(x, y, k, step, bias, normalize, grid_width)
    out: Tensor = _knn(x, y, k, step, bias, normalize, precision, grid_width)
    return out


def neighbors(
    x: Tensor,
    y: Tensor,
    k: int,
    *,
    step: int,
    bias: Tensor | None,
    normalize: bool,
    precision: Precision,
    grid_width: int = 0,
) -> Tensor:
    """As `knn`, but return indices of the sources within their image, `(B, n, ⌈k / step⌉)`, as input of other kernels.

    The indices are int16 for up to 2**15 sources per image, otherwise int32.
    """
    kernels = _kernels_for(x, y, k) if x.is_cuda else None
    if kernels is not None:
        check(x, y, k, step, bias, precision, grid_width)
        options = {"bias": bias, "normalize": normalize, "precision": precision, "grid_width": grid_width}
        found: Tensor = kernels.search.neighbors(x, y, k, step=step, **options)
        return found
    edges: Tensor = torch.ops.vig_pyg.knn(x, y, k, step, bias, normalize, precision, grid_width)
    b, m = x.size(0), y.size(1)
    source = edges[0].view(b, x.size(1), -(-k // min(step, k)))  # (E) -> (B, n, kept)
    source = source - torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    return source.to(torch.int16 if m <= 2**15 else torch.int32)


def _native(
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
    kernels, dtype = library(), x.dtype
    (b, n, channels), (_, m, _) = x.shape, y.shape
    if kernels is None or dtype not in (torch.float32, torch.bfloat16) or m > MOST_SOURCES:
        return knn_plain(x, y, k, step, bias, normalize, precision, grid_width)
    x, y, step = x.contiguous(), y.contiguous(), min(step, k)
    features = address(x, dtype, (b, n, channels), "x"), address(y, dtype, (b, m, channels), "y")
    out, bad = (x.new_empty(size, dtype=torch.long) for size in ((2, b * n * -(-k // step)), 2))
    if out.numel() == 0:
        return out
    strides, pointer = [0, 0], None
    if bias is not None:
        bias = grid_bias(bias, grid_width, 0, n) if grid_width else bias
        bias = bias.float().contiguous()
        shape = bias.shape
        pointer = address(bias, torch.float32, shape, "bias")
        strides = [shape[1] * m if shape[0] > 1 else 0, m if shape[1] > 1 else 0]
    numbers = int(dtype == torch.bfloat16), int(normalize), b, n, m, channels, *strides, k, step
    code = kernels.vig_nearest(*features, pointer, *numbers, out.data_ptr(), bad.data_ptr(), torch.get_num_threads())
    if code == 1:
        raise MemoryError(f"There is not enough memory to search {m} sources of {channels} channels in {b} images.")
    if code == 2:
        _refuse(x, y, int(bad[0]))
    return out


def _refuse(x: Tensor, y: Tensor, target: int) -> None:
    """Raise an error that describes the features or scores that the native kernel rejected."""
    for part in (x, y):
        check_finite(part.float().norm(dim=-1), [part.size(1)])
    raise ValueError(
        f"Scores of node {target}{image_of(target, [x.size(1)])} are NaN: the bias contains NaN, or features are too "
        "large for their type."
    )


def _on_gpu(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,
    precision: str = "highest",
    grid_width: int = 0,
) -> Tensor:
    kernels = _kernels_for(x, y, k)
    if kernels is None:
        return knn_plain(x, y, k, step, bias, normalize, precision, grid_width)
    check(x, y, k, step, bias, precision, grid_width)
    options = {"step": step, "bias": bias, "normalize": normalize, "precision": precision, "grid_width": grid_width}
    edges: Tensor = kernels.search.neighbors(x, y, k, edges=True, **options)
    return edges


def _kernels_for(x: Tensor, y: Tensor, k: int) -> TritonKernels | None:
    """Return the GPU kernels if they support this GPU, these dtypes and sizes, otherwise `None`."""
    device = x.get_device()
    kernels = triton_kernels(device)
    if kernels is None or not runs_search_on(device):
        return None
    if k > kernels.search.MOST_NEIGHBORS or x.dtype == torch.float64 or x.size(0) > MOST_IMAGES:
        return None
    return kernels if y.size(1) <= kernels.search.MOST_SOURCES_OF_IMAGE else None


def _fake(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,  # noqa: ARG001
    precision: str = "highest",
    grid_width: int = 0,
) -> Tensor:
    check(x, y, k, step, bias, precision, grid_width)
    return x.new_empty(2, x.size(0) * x.size(1) * -(-k // step), dtype=torch.long)


_ARGUMENTS = "Tensor x, Tensor y, int k, int step, Tensor? bias, bool normalize, str precision='highest'"
_ARGUMENTS += ", int grid_width=0"
torch.library.define("vig_pyg::knn", f"({_ARGUMENTS}) -> Tensor")
torch.library.impl("vig_pyg::knn", "CompositeExplicitAutograd", knn_plain)
torch.library.impl("vig_pyg::knn", "CPU", _native)
torch.library.impl("vig_pyg::knn", "CUDA", _on_gpu)
torch.library.register_fake("vig_pyg::knn", _fake)

_knn = transformable(torch.ops.vig_pyg.knn, knn_rule, setup=no_context, gradients=no_gradients)


def flops(x: Any, y: Any, *_: Any, **__: Any) -> int:
    """Count the operations of a search from the shapes of its arguments."""
    b, n, c = x
    return int(2 * b * n * y[1] * c)


register_flop_formula(torch.ops.vig_pyg.knn)(flops)
