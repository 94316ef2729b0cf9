"""Autograd functions that store only their input and recompute intermediates in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vig_pyg.ops._batch_norm import Norm
from vig_pyg.ops._norm_step import keeps_hidden, norm_step
from vig_pyg.ops._products import map_rows, sum_of_products
from vig_pyg.ops.grouped_linear import grouped, grouped_gradients


class RecomputedMLP(torch.autograd.Function):
    r"""Computes `W_2 GELU(BN(W_1 x + b_1)) + b_2` with a multi-head W_1; hidden activations are recomputed, not stored.

    Batch norm cancels :math:`b_1`, which therefore only shifts the running mean and has the gradient 0. If
    `norm_follows` is true, a batch norm also cancels :math:`b_2`, so its gradient is 0 and not computed.

    Args:
        x: Nodes `(N, C)`.
        weight_1, bias_1: Weight and bias of the first linear layer.
        norm_weight, norm_bias: Weight and bias of the batch norm.
        weight_2, bias_2: Weight and bias of the second linear layer.
        norm: The batch norm, whose running statistics are updated.
        heads: Number of heads of the first linear layer.
        norm_follows: If true, a batch norm follows the second linear layer.

    Shapes: x `(N, C)` to `(N, C')`; see `vig_pyg.ops.mlp`.

    Example:
        >>> from torch import nn
        >>> x, first, norm, second = torch.rand(9, 8), nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 8)
        >>> factors = first.weight, first.bias, norm.weight, norm.bias, second.weight, second.bias
        >>> RecomputedMLP.apply(x, *factors, norm, 1, False).shape
        torch.Size([9, 8])
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_1: Tensor,
        bias_1: Tensor,
        norm_weight: Tensor,  # noqa: ARG004  (named so that it gets its gradient)
        norm_bias: Tensor,  # noqa: ARG004
        weight_2: Tensor,
        bias_2: Tensor,
        norm: Norm,
        heads: int,
        norm_follows: bool,
    ) -> Tensor:
        ctx.heads, ctx.norm_follows = heads, norm_follows
        h = grouped(x, weight_1, None, heads)
        ctx.step = norm_step(h, norm, bias_1, gelu=True)
        kept = h if keeps_hidden(h) else None
        ctx.save_for_backward(x, weight_1, bias_1, weight_2, kept)
        return map_rows(ctx.step.apply(h, out=h if kept is None else None), weight_2, bias_2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_1, bias_1, weight_2, kept = ctx.saved_tensors
        grad = grad.contiguous()
        h = grouped(x, weight_1, None, ctx.heads) if kept is None else kept
        hidden = ctx.step.apply(h)
        grad_weight_2 = sum_of_products(grad, hidden)
        del hidden  # a wide map less while the next one is computed
        grad_h = map_rows(grad, weight_2.t())
        grad_norm = ctx.step.backward_(grad_h, h)
        del h
        grad_x, grad_weight_1 = grouped_gradients(grad_h, x, weight_1, ctx.heads)
        grad_bias_2 = grad.new_zeros(grad.size(1)) if ctx.norm_follows else grad.sum(0)
        grad_bias_1 = grad_norm.offset.to(bias_1.dtype)
        found = grad_x, grad_weight_1, grad_bias_1, *grad_norm[:2], grad_weight_2, grad_bias_2
        return *found, None, None, None


class RecomputedLinearNorm(torch.autograd.Function):
    """Computes `BN(W x + b)`; only x is stored, and the gradient of b is 0, as in `RecomputedMLP`.

    Args:
        x: Nodes `(N, C)`.
        weight, bias: Weight and bias of the linear layer.
        norm_weight, norm_bias: Weight and bias of the batch norm.
        norm: The batch norm, whose running statistics are updated.

    Shapes: x `(N, C)` to `(N, C')`; see `vig_pyg.ops.linear_norm`.

    Example:
        >>> from torch import nn
        >>> x, layer, norm = torch.rand(9, 8), nn.Linear(8, 16), nn.BatchNorm1d(16)
        >>> RecomputedLinearNorm.apply(x, layer.weight, layer.bias, norm.weight, norm.bias, norm).shape
        torch.Size([9, 16])
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm_weight: Tensor,  # noqa: ARG004  (named so that it gets its gradient)
        norm_bias: Tensor,  # noqa: ARG004
        norm: Norm,
    ) -> Tensor:
        h = map_rows(x, weight)
        ctx.step = norm_step(h, norm, bias, gelu=False)
        kept = h if keeps_hidden(h) else None
        ctx.save_for_backward(x, weight, bias, kept)
        return ctx.step.apply(h, out=h if kept is None else None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, kept = ctx.saved_tensors
        grad, grad_norm = ctx.step.backward(grad, map_rows(x, weight) if kept is None else kept)
        return (
            map_rows(grad, weight.t()),
            sum_of_products(grad, x),
            grad_norm.offset.to(bias.dtype),
            *grad_norm[:2],
            None,
        )


class RecomputedNorm(torch.autograd.Function):
    """Computes a batch norm over nodes, followed by GELU if `gelu` is true, plus a residual; only the input is stored.

    Args:
        h: Nodes `(N, C)`.
        weight, bias: Weight and bias of the batch norm.
        residual: Nodes `(N, C)` that are added to the result, or `None`.
        norm: The batch norm, whose running statistics are updated.
        gelu: If true, GELU follows the batch norm.

    Shapes: h and the residual (or `None`) `(N, C)` to `(N, C)`; see `vig_pyg.ops.batch_norm_gelu`.

    Example:
        >>> from torch import nn
        >>> norm = nn.BatchNorm1d(16)
        >>> RecomputedNorm.apply(torch.rand(9, 16), norm.weight, norm.bias, None, norm, True).shape
        torch.Size([9, 16])
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,  # noqa: ARG004  (named so that it gets its gradient)
        bias: Tensor,  # noqa: ARG004
        residual: Tensor | None,
        norm: Norm,
        gelu: bool,
    ) -> Tensor:
        ctx.save_for_backward(h)
        ctx.step = norm_step(h, norm, None, gelu=gelu)
        if residual is None:
            return ctx.step.apply(h)
        return ctx.step.apply(h, torch.empty_like(h, dtype=torch.promote_types(residual.dtype, h.dtype)), residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        grad_h, grad_norm = ctx.step.backward(grad, h)  # autograd owns `grad`, so it is not changed in place
        return grad_h, *grad_norm[:2], grad if ctx.needs_input_grad[3] else None, None, None
