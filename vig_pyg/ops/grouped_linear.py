"""Multi-head linear layers and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.ops._autocast import autocast_type
from vig_pyg.ops._products import map_rows, sum_of_products, takes_one_dnn

#: Rows per output channel above which one product over all heads is faster on a GPU. On an H200, separate products of
#: four heads of 160 channels over 401,408 rows take 1.2 ms, because they occupy few multiprocessors.
_MANY_ROWS = 128
#: Channels of a head from which oneDNN's product on a CPU is faster in float32, although the heads are copied for it.
_WIDE_HEADS = 128


def multi_head_linear(x: Tensor, weight: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    r"""Apply a separate linear layer to the channels of each head.

    .. math:: y_h = W_h x_h + b_h, \quad x = [x_1, \dots, x_H]

    Args:
        x: Nodes `(N, in)`.
        weight: Weights of all heads, stacked along the first dimension, `(out, in / H)`.
        bias: Bias `(out,)`, or `None`.
        heads: Number of heads H, a divisor of both widths.

    Shapes: x `(N, in)`, weight `(out, in / H)` and bias `(out,)` to `(N, out)`.

    Example:
        >>> multi_head_linear(torch.ones(1, 4), torch.ones(2, 2), torch.zeros(2), 2).tolist()
        [[2.0, 2.0]]
    """
    if heads == 1:
        return F.linear(x, weight, bias)
    needs_graph = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    needs_graph = needs_graph and torch._C._get_tracing_state() is None  # FLOP counters trace the model
    needs_graph = needs_graph and (x.size(0) > 0 or x.device.type != "cpu")
    if (dtype := autocast_type(x)) is not None:  # autocast does not apply to products with `out=`
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if needs_graph and bias is not None and not torch._C._are_functorch_transforms_active():
        out: Tensor = GroupedLinear.apply(x, weight, bias, heads)
        return out
    if x.device.type == "cpu" and x.size(0):  # as compiled code, which calls torch's operator, too
        return _convolved(x, weight, bias, heads)
    return grouped(x, weight, bias, heads)


def grouped(x: Tensor, weight: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """Apply a separate linear layer to each head in an autograd function, as `multi_head_linear` does.

    On a CPU, a grouped convolution over a single row is fastest, because it does not copy heads. Elsewhere, one batched
    product reads and writes the heads in place, as adjacent parts of each row.

    Args:
        x: Nodes `(N, in)`.
        weight: Weights of all heads, stacked along the first dimension, `(out, in / H)`.
        bias: Bias `(out,)`, or `None`.
        heads: Number of heads H, a divisor of both widths.

    Shapes: x `(N, in)`, weight `(out, in / H)` and bias `(out,)` to `(N, out)`.

    Example:
        >>> grouped(torch.ones(1, 4), torch.ones(2, 2), None, 2).tolist()
        [[2.0, 2.0]]
    """
    if heads == 1:
        return map_rows(x, weight, bias)
    if x.device.type == "cpu" and x.size(0):
        frozen = bias is None or not (bias.requires_grad and torch.is_grad_enabled())
        return _convolved(x, weight, bias, heads, one_dnn=frozen and takes_one_dnn(x, weight))
    weights = weight.view(heads, -1, weight.size(1)).transpose(1, 2)  # (H, in / H, out / H)
    out = _products(_heads(x, heads), weights)
    return out if bias is None else out + bias


def grouped_gradients(grad: Tensor, x: Tensor, weight: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Compute the gradients of x and weight; the gradients of a grouped convolution are slower.

    Args:
        grad: Gradient of the result, `(N, out)`.
        x: Nodes `(N, in)`.
        weight: Weights of all heads, `(out, in / H)`.

    Example:
        >>> grad_x, grad_weight = grouped_gradients(torch.ones(3, 2), torch.ones(3, 4), torch.ones(2, 2), 2)
        >>> grad_x.shape, grad_weight.tolist()
        (torch.Size([3, 4]), [[3.0, 3.0], [3.0, 3.0]])
    """
    grad_x = input_gradient(grad, weight, heads)
    if heads == 1:
        return grad_x, sum_of_products(grad, x)
    if x.device.type != "cpu" and x.size(0) >= _MANY_ROWS * grad.size(1):
        return grad_x, _weight_gradient_of_many(grad, x, heads)
    wide = min(grad.size(1), x.size(1)) >= _WIDE_HEADS * heads
    if x.device.type == "cpu" and (wide or x.dtype is torch.bfloat16):  # the batched product copies heads
        parts = zip(grad.chunk(heads, 1), x.chunk(heads, 1), strict=True)
        return grad_x, torch.cat([sum_of_products(*_prepared(*pair)) for pair in parts])
    return grad_x, (_heads(grad, heads).transpose(1, 2) @ _heads(x, heads)).flatten(0, 1)  # (H, out / H, in / H)


def input_gradient(grad: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Compute the gradient of the input of `multi_head_linear`.

    Args:
        grad: Gradient of the result, `(N, out)`.
        weight: Weights of all heads, `(out, in / H)`.

    Example:
        >>> input_gradient(torch.ones(3, 2), torch.ones(2, 2), 2).shape
        torch.Size([3, 4])
    """
    if heads == 1:
        return map_rows(grad, weight.t())
    weights = weight.view(heads, -1, weight.size(1))  # (H, out / H, in / H)
    if grad.device.type == "cpu":  # a linear layer with transposed weights (in, out / H)
        return grouped(grad, weights.transpose(1, 2).flatten(0, 1), None, heads)
    return _products(_heads(grad, heads), weights)


def _weight_gradient_of_many(grad: Tensor, x: Tensor, heads: int) -> Tensor:
    """Compute the gradient of the weights from one product of all pairs of heads, and select the diagonal pairs.

    The sum over the many rows dominates the cost. GPU libraries distribute this sum over all multiprocessors for a
    single product, but not for a batch of small products.
    """
    pairs = (grad.t() @ x).view(heads, grad.size(1) // heads, heads, x.size(1) // heads)  # (H, out / H, H, in / H)
    return pairs.diagonal(dim1=0, dim2=2).permute(2, 0, 1).flatten(0, 1)  # (out / H, in / H, H) -> (out, in / H)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, heads: int, *, one_dnn: bool = False) -> Tensor:
    """Apply a separate linear layer to each head as a grouped convolution over a single row."""
    row = x[None, None].permute(0, 3, 1, 2)  # (N, in) -> (1, in, 1, N), channels last
    kernel = weight[..., None, None]
    if one_dnn:
        out = _one_dnn_convolution()(row, kernel, bias, [0, 0], [1, 1], [1, 1], heads, "none", [], "")
    else:
        out = F.conv2d(row, kernel, bias, groups=heads)
    return out[0, :, 0].t()  # (1, out, 1, N) -> (N, out)


@cache
def _one_dnn_convolution() -> Callable[..., Tensor]:
    """Return oneDNN's convolution; torch selects it itself, but with one thread another, slower one."""
    found: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise.default
    return found


def _prepared(*parts: Tensor) -> tuple[Tensor, ...]:
    """Copy the columns of a head in float32 for oneDNN; products in bfloat16 read them where they are."""
    return tuple(part.contiguous() if part.dtype is torch.float32 else part for part in parts)


def _heads(x: Tensor, heads: int) -> Tensor:
    """Return a view of the columns of each head, `(N, C)` to `(H, N, C / H)`."""
    return x.view(x.size(0), heads, x.size(1) // heads).transpose(0, 1)


def _products(parts: Tensor, weights: Tensor) -> Tensor:
    """Compute one product per head, `(H, N, K)` and `(H, K, M)` to `(N, H M)`."""
    needs_graph = torch.is_grad_enabled() and (parts.requires_grad or weights.requires_grad)
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if parts.device.type != "cuda" or needs_graph or transformed:
        return torch.bmm(parts, weights).transpose(0, 1).flatten(1)  # (H, N, M) -> (N, H M)
    return _products_in_place(parts, weights)


def _products_in_place(parts: Tensor, weights: Tensor) -> Tensor:
    """As `_products`, but without copying the result and not differentiable."""
    heads, rows, width = parts.size(0), parts.size(1), weights.size(2)
    out = torch.empty(rows, heads * width, dtype=parts.dtype, device=parts.device)
    torch.bmm(parts, weights, out=_heads(out, heads))
    return out


class GroupedLinear(torch.autograd.Function):
    """The autograd function of `multi_head_linear`.

    Args:
        x, weight, bias, heads: As for `multi_head_linear`; the bias is required.

    Shapes: x `(N, in)`, weight `(out, in / H)` and bias `(out,)` to `(N, out)`.

    Example:
        >>> GroupedLinear.apply(torch.ones(1, 4), torch.ones(2, 2), torch.zeros(2), 2).tolist()
        [[2.0, 2.0]]
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.heads = heads
        return grouped(x, weight, bias, heads)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *grouped_gradients(grad, x, weight, ctx.heads), grad.sum(0), None
