r"""Neighbor search and max-relative aggregation in one operator, without an edge tensor.

Equation: :math:`[x_{i1}, m_{i1}, x_{i2}, m_{i2}, \dots]` with :math:`m_{ic} = \max_{j \in N(i)} y_{jc} - x_{ic}` and
:math:`N(i)` as `knn` finds it. Shapes: targets x `(B, n, C)`, sources y `(B, m, C)`, result `(B n, 2 C)`, winners
`(B n, C)`.

Between the two kernels, the neighbors are stored as indices within their image, of two bytes each. For the backward
pass, the index of the source that attains the maximum of each channel is stored, in one byte for up to 256 sources per
image, otherwise in two or four bytes. If several neighbors attain the maximum, the nearest one receives the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vig_pyg.ops._eager import is_eager_on_gpu
from vig_pyg.ops._exporting import is_exporting
from vig_pyg.ops._knn import flops, neighbors
from vig_pyg.ops._knn_plain import Precision, check
from vig_pyg.ops._knn_samples import knn_max_relative_backward_rule, knn_max_relative_rule
from vig_pyg.ops._transforms import transformable
from vig_pyg.ops._triton import MOST_IMAGES, has_triton_kernels, triton_kernels
from vig_pyg.ops.checks import check_features
from vig_pyg.ops.rows import winner_type

#: Feature dtypes that the kernels support.
_FLOATS = torch.float32, torch.bfloat16, torch.float16


def prefers_no_edges(x_src: Tensor, x_dst: Tensor) -> bool:
    """True if `knn_max_relative` is faster than `knn` followed by `max_relative`: on a GPU with Triton.

    Args:
        x_src: Sources `(M, C)`.
        x_dst: Targets `(N, C)`.

    Shapes: sources `(M, C)` and targets `(N, C)`.

    Example:
        >>> prefers_no_edges(torch.rand(9, 16), torch.rand(9, 16))
        False
    """
    types = x_src.dtype is x_dst.dtype and x_src.dtype in _FLOATS
    return types and x_src.device.type == "cuda" and not is_exporting() and has_triton_kernels(x_src.device)


def knn_max_relative(
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
    """Find the nearest sources of each target, and compute `max_relative` over them.

    Args:
        x: Targets `(B, n, C)`.
        y: Sources `(B, m, C)`, where m is at least k.
        k: Number of nearest sources that are ranked.
        step: Spacing of the selected ranks 0, step, 2 step, ... below k.
        bias: Term added to the inner products, as for `knn`.
        normalize: If true, the features are L2-normalized for the search.
        precision: Precision of the products on a GPU, as for `knn`.
        grid_width: Width of the grid of the targets if `bias` contains column and row terms, as for `knn`.

    Shapes: targets `(B, n, C)` and sources `(B, m, C)` to `(B n, 2 C)`.

    Returns:
        The features `(B n, 2 C)` in the order `x_0, m_0, x_1, m_1, ...`.

    Raises:
        TypeError: If features or bias are not dense floating-point tensors.
        ValueError: As for `knn`.

    Example:
        >>> x = torch.tensor([[[1.0], [4.0]]]); knn_max_relative(x, x, 2).tolist()
        [[1.0, 3.0], [4.0, 0.0]]
    """
    bias = None if bias is None else bias.detach()  # the search is not differentiable
    winners = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    if not winners and type(k) is type(step) is int and is_eager_on_gpu(x, y):
        return _on_gpu(x, y, k, step, bias, normalize, precision, False, grid_width)[0]
    arguments = x, y, k, step, bias, normalize, precision, winners, grid_width
    out: Tensor = _knn_max_relative(*arguments)[0]
    return out


def _plain(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,
    precision: Precision,
    winners: bool,
    grid_width: int = 0,
) -> tuple[Tensor, Tensor]:
    options: dict[str, Any] = {"normalize": normalize, "precision": precision, "grid_width": grid_width}
    source = neighbors(x, y, k, step=step, bias=bias, **options)
    (b, n, channels), m = x.shape, y.size(1)
    x, kind = x.reshape(-1, channels), winner_type(m)
    if x.numel() == 0:
        return x.new_empty(b * n, 2 * channels), x.new_empty(b * n if winners else 0, channels, dtype=kind)
    image = torch.arange(b, device=x.device).mul(m).view(b, 1, 1)
    around = y.reshape(-1, channels)[(source + image).flatten(0, 1)]  # (B n, kept, C)
    largest, place = around.max(1)
    out = torch.stack([x, largest - x], dim=2).flatten(1)  # (B n, C, 2) -> (B n, 2 C)
    won = source.flatten(0, 1).gather(1, place) if winners else source.new_empty(0, channels)
    return out, won.to(kind)


def _plain_backward(grad: Tensor, winners: Tensor, num_src: int, images: int) -> tuple[Tensor, Tensor]:
    _check_winners(grad, winners, num_src, images)
    if images == 0:
        return grad.new_empty(0, winners.size(1)), grad.new_empty(winners.shape)
    own, relative = grad.reshape(*winners.shape, 2).unbind(2)  # (N, 2 C) -> (N, C) twice
    source = winners.long().reshape(images, winners.size(0) // images, winners.size(1))  # (B, n, C)
    sums = torch.zeros(images, num_src // images, winners.size(1), device=grad.device)
    sums = sums.to(torch.promote_types(grad.dtype, torch.float32))
    sums.scatter_add_(1, source, relative.to(sums.dtype).reshape(source.shape))
    return sums.flatten(0, 1).to(grad.dtype), own - relative


def _on_gpu(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,
    precision: Precision,
    winners: bool,
    grid_width: int = 0,
) -> tuple[Tensor, Tensor]:
    kernels = triton_kernels(x.get_device())
    if kernels is None or x.dtype not in _FLOATS or not 0 < x.size(0) <= MOST_IMAGES:
        return _plain(x, y, k, step, bias, normalize, precision, winners, grid_width)
    options: dict[str, Any] = {"normalize": normalize, "precision": precision, "grid_width": grid_width}
    source = neighbors(x, y, k, step=step, bias=bias, **options)
    nodes = y.reshape(-1, y.size(2)), x.reshape(-1, x.size(2))
    found: tuple[Tensor, Tensor] = kernels.gather.gather_neighbors(*nodes, source, winners=winners)
    return found


def _backward_on_gpu(grad: Tensor, winners: Tensor, num_src: int, images: int) -> tuple[Tensor, Tensor]:
    _check_winners(grad, winners, num_src, images)
    kernels = triton_kernels(grad.get_device())
    if kernels is None or grad.dtype not in _FLOATS or not 0 < images <= MOST_IMAGES:
        return _plain_backward(grad, winners, num_src, images)
    in_order = torch.are_deterministic_algorithms_enabled()
    scatter = kernels.scatter.scatter_winners
    found: tuple[Tensor, Tensor] = scatter(grad, winners.contiguous(), num_src, images, in_order=in_order)
    return found


def _check_winners(grad: Any, winners: Any, num_src: int, images: int) -> None:
    check_features(grad, "grad", 2)
    shape = winners.shape
    fits = len(shape) == 2 and grad.shape == (shape[0], 2 * shape[1]) and winners.device == grad.device
    # Without images there are no nodes either.
    divides = shape[0] == num_src == 0 if images == 0 else shape[0] % images == num_src % images == 0
    if not fits or images < 0 or num_src < 0 or not divides:
        raise ValueError(
            f"grad (N, 2 C) and winners (N, C) of {images} images must match each other and {num_src} sources, got "
            f"{tuple(grad.shape)} on {grad.device} and {tuple(shape)} on {winners.device}."
        )
    if images and winners.dtype is not winner_type(num_src // images):
        raise ValueError(f"winners must be of {winner_type(num_src // images)}, got {winners.dtype}.")


def _fake(
    x: Tensor,
    y: Tensor,
    k: int,
    step: int,
    bias: Tensor | None,
    normalize: bool,  # noqa: ARG001
    precision: Precision,
    winners: bool,
    grid_width: int = 0,
) -> tuple[Tensor, Tensor]:
    check(x, y, k, step, bias, precision, grid_width)
    (b, n, channels), m = x.shape, y.size(1)
    won = x.new_empty(b * n if winners else 0, channels, dtype=winner_type(m))
    return x.new_empty(b * n, 2 * channels), won


def _fake_backward(grad: Tensor, winners: Tensor, num_src: int, images: int) -> tuple[Tensor, Tensor]:
    _check_winners(grad, winners, num_src, images)
    return grad.new_empty(num_src, winners.size(1)), grad.new_empty(winners.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, y, *_ = inputs
    ctx.shapes = x.shape, y.shape
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    (winners,), (x, y) = ctx.saved_tensors, ctx.shapes
    to_src, to_dst = _knn_max_relative_backward(grad, winners, y[0] * y[1], y[0])
    return to_dst.view(x), to_src.view(y), *[None] * 7


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG001
    _, winners, _, ctx.images = inputs
    ctx.save_for_backward(winners)


def _gradients_of_backward(ctx: Any, to_src: Tensor, to_dst: Tensor) -> tuple[Tensor | None, ...]:
    """Compute the derivative of the backward pass; it is linear, so its derivative gathers what it scattered."""
    (winners,), images = ctx.saved_tensors, ctx.images
    channels = winners.size(1)
    if images == 0:
        return to_src.new_empty(0, 2 * channels), None, None, None
    source = winners.long().reshape(images, -1, channels)  # (B, n, C)
    relative = to_src.reshape(images, -1, channels).gather(1, source).flatten(0, 1) - to_dst
    return torch.stack([to_dst, relative], dim=2).flatten(1), None, None, None  # (N, C, 2) -> (N, 2 C)


_ARGUMENTS = "Tensor x, Tensor y, int k, int step, Tensor? bias, bool normalize, str precision, bool winners"
_ARGUMENTS += ", int grid_width=0"
_WINNERS = "Tensor grad, Tensor winners, SymInt num_src, SymInt images"
torch.library.define("vig_pyg::knn_max_relative", f"({_ARGUMENTS}) -> (Tensor, Tensor)")
torch.library.define("vig_pyg::knn_max_relative_backward", f"({_WINNERS}) -> (Tensor, Tensor)")
torch.library.impl("vig_pyg::knn_max_relative", "CompositeExplicitAutograd", _plain)
torch.library.impl("vig_pyg::knn_max_relative", "CUDA", _on_gpu)
torch.library.impl("vig_pyg::knn_max_relative_backward", "CompositeExplicitAutograd", _plain_backward)
torch.library.impl("vig_pyg::knn_max_relative_backward", "CUDA", _backward_on_gpu)
torch.library.register_fake("vig_pyg::knn_max_relative", _fake)
torch.library.register_fake("vig_pyg::knn_max_relative_backward", _fake_backward)
torch.library.register_autograd("vig_pyg::knn_max_relative", _gradients, setup_context=_setup)
torch.library.register_autograd(
    "vig_pyg::knn_max_relative_backward", _gradients_of_backward, setup_context=_setup_backward
)

_knn_max_relative = transformable(
    torch.ops.vig_pyg.knn_max_relative,
    knn_max_relative_rule,
    setup=_setup,
    gradients=_gradients,
)
_knn_max_relative_backward = transformable(
    torch.ops.vig_pyg.knn_max_relative_backward,
    knn_max_relative_backward_rule,
    setup=_setup_backward,
    gradients=_gradients_of_backward,
)
register_flop_formula(torch.ops.vig_pyg.knn_max_relative)(flops)
