"""Autograd functions that store only their input and recompute intermediates in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vig_pyg.ops._batch_norm import NodeNorm, Norm
from vig_pyg.ops._gpu_batch_norm import GPUNorm, NormGradients
from vig_pyg.ops._products import map_rows, sum_of_products
from vig_pyg.ops.grouped_linear import grouped, grouped_gradients


def _norm_step(h: Tensor, norm: Norm, offset: Tensor | None, *, gelu: bool) -> NodeNorm | GPUNorm:
    """Compute batch statistics and update the running ones; `offset` is a bias that was not added to the features."""
    if not h.is_cpu:
        return GPUNorm(h, norm, offset, gelu=gelu)
    step = NodeNorm.of(h, norm, gelu=gelu)
    step.update(norm, h.size(0), torch.zeros_like(step.mean) if offset is None else offset)
    return step


def _norm_gradients(step: NodeNorm | GPUNorm, grad: Tensor, h: Tensor) -> tuple[Tensor, NormGradients]:
    """Return the gradients of h and of the norm's weight, bias and offset, without changing `grad`."""
    if isinstance(step, GPUNorm):
        return step.backward(grad, h)
    grad = grad.clone(memory_format=torch.contiguous_format)
    return grad, _norm_gradients_(step, grad, h)


def _norm_gradients_(step: NodeNorm | GPUNorm, grad: Tensor, h: Tensor) -> NormGradients:
    """As `_norm_gradients`, but compute the gradient of h in place of `grad`."""
    if isinstance(step, GPUNorm):
        return step.backward_(grad, h)
    weight, bias = step.backward_(grad, h)
    return NormGradients(weight, bias, torch.zeros_like(bias))


class RecomputedMLP(torch.autograd.Function):
    r"""`W_2 GELU(BN(W_1 x + b_1)) + b_2` with a multi-head W_1; the hidden activations are recomputed, not stored.

    Batch norm cancels :math:`b_1`, which therefore only shifts the running mean and has the gradient 0. If
    `norm_follows` is true, a batch norm also cancels :math:`b_2`, so its gradient is 0 and not computed.

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
        ctx.save_for_backward(x, weight_1, bias_1, weight_2)
        ctx.heads, ctx.norm_follows = heads, norm_follows
        h = grouped(x, weight_1, None, heads)
        ctx.step = _norm_step(h, norm, bias_1, gelu=True)
        return map_rows(ctx.step.apply(h, out=h), weight_2, bias_2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_1, bias_1, weight_2 = ctx.saved_tensors
        grad = grad.contiguous()
        h = grouped(x, weight_1, None, ctx.heads)
        hidden = ctx.step.apply(h)
        grad_weight_2 = sum_of_products(grad, hidden)
        grad_h = map_rows(grad, weight_2.t(), space=hidden)
        grad_norm = _norm_gradients_(ctx.step, grad_h, h)
        grad_x, grad_weight_1 = grouped_gradients(grad_h, x, weight_1, ctx.heads)
        grad_bias_2 = grad.new_zeros(grad.size(1)) if ctx.norm_follows else grad.sum(0)
        grad_bias_1 = grad_norm.offset.to(bias_1.dtype)
        found = grad_x, grad_weight_1, grad_bias_1, *grad_norm[:2], grad_weight_2, grad_bias_2
        return *found, None, None, None


class RecomputedLinearNorm(torch.autograd.Function):
    """`BN(W x + b)`; only x is stored, and the gradient of b is 0, as in `RecomputedMLP`.

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
        ctx.save_for_backward(x, weight, bias)
        h = map_rows(x, weight)
        ctx.step = _norm_step(h, norm, bias, gelu=False)
        return ctx.step.apply(h, out=h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        grad, grad_norm = _norm_gradients(ctx.step, grad, map_rows(x, weight))
        return (
            map_rows(grad, weight.t()),
            sum_of_products(grad, x),
            grad_norm.offset.to(bias.dtype),
            *grad_norm[:2],
            None,
        )


class RecomputedNorm(torch.autograd.Function):
    """Batch norm over nodes, followed by GELU if `gelu` is true; only the input is stored.

    Shapes: h `(N, C)` to `(N, C)`; see `vig_pyg.ops.batch_norm_gelu`.

    Example:
        >>> from torch import nn
        >>> norm = nn.BatchNorm1d(16)
        >>> RecomputedNorm.apply(torch.rand(9, 16), norm.weight, norm.bias, norm, True).shape
        torch.Size([9, 16])
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, norm: Norm, gelu: bool) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(h)
        ctx.step = _norm_step(h, norm, None, gelu=gelu)
        return ctx.step.apply(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        grad, grad_norm = _norm_gradients(ctx.step, grad, h)  # autograd owns `grad`, so it is not changed in place
        return grad, *grad_norm[:2], None, None
