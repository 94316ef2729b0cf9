"""A linear map or two with their batch norms in one pass."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from vig_pyg.ops._batch_norm import NodeNorm, Norm
from vig_pyg.ops.grouped_linear import grouped, grouped_gradients


class LeanMLP(torch.autograd.Function):
    r"""`W_2 GELU(BN(W_1 x + b_1)) + b_2`, W_1 with heads, that keeps x alone and computes what lies between again.

    Batch norm takes away what :math:`b_1` adds: it moves the running mean, and its gradient is exactly 0.
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
    ) -> Tensor:
        ctx.save_for_backward(x, weight_1, bias_1, weight_2)
        ctx.heads = heads
        h = grouped(x, weight_1, None, heads)
        ctx.step = NodeNorm.of(h, norm, gelu=True)
        ctx.step.update(norm, h.size(0), bias_1)
        return F.linear(ctx.step.apply(h, out=h), weight_2, bias_2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_1, bias_1, weight_2 = ctx.saved_tensors
        grad = grad.contiguous()
        h = grouped(x, weight_1, None, ctx.heads)
        hidden = ctx.step.apply(h)
        grad_weight_2 = grad.t() @ hidden
        grad_h = torch.mm(grad, weight_2, out=hidden)
        grad_norm = ctx.step.backward_(grad_h, h)
        grad_x, grad_weight_1 = grouped_gradients(grad_h, x, weight_1, ctx.heads)
        return grad_x, grad_weight_1, torch.zeros_like(bias_1), *grad_norm, grad_weight_2, grad.sum(0), None, None


class LeanLinearNorm(torch.autograd.Function):
    """`BN(W x + b)` that keeps x alone. As in `LeanMLP`, b has no gradient."""

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
        h = F.linear(x, weight)
        ctx.step = NodeNorm.of(h, norm, gelu=False)
        ctx.step.update(norm, h.size(0), bias)
        return ctx.step.apply(h, out=h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        grad = grad.clone(memory_format=torch.contiguous_format)
        grad_norm = ctx.step.backward_(grad, F.linear(x, weight))
        return grad @ weight, grad.t() @ x, torch.zeros_like(bias), *grad_norm, None


class LeanNorm(torch.autograd.Function):
    """Batch norm over nodes, and GELU where it follows, that keeps its input alone."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, norm: Norm, gelu: bool) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(h)
        ctx.step = NodeNorm.of(h, norm, gelu=gelu)
        ctx.step.update(norm, h.size(0), torch.zeros_like(ctx.step.mean))
        return ctx.step.apply(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        grad = grad.clone(memory_format=torch.contiguous_format)
        grad_norm = ctx.step.backward_(grad, h)  # in place, before the gradient is returned
        return grad, *grad_norm, None, None
