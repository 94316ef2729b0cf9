"""Passes for training that keep less: on a processor memory that is not written need not be fetched.

Each equals the plain layers it stands for up to rounding; the tests hold it to them. They can be differentiated once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vig_pyg.kernels import NormGELU, has_norm_gelu


def takes_lean(x: Tensor, norm: nn.Module, *others: nn.Module) -> bool:
    """Whether layers may be replaced by a lean pass for nodes x in this training step.

    They must be as we made them (no hook, no parametrization, ordinary batch statistics), and nothing else may
    transform the step (autocast, compilation, functorch).
    """
    return (
        torch.is_grad_enabled()
        and type(norm) is nn.BatchNorm1d
        and norm.training
        and norm.track_running_stats
        and norm.affine
        and norm.momentum is not None
        and has_norm_gelu(x, norm.num_features)
        and all(_untouched(module) for module in (norm, *others))
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def _untouched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return not any(hooks)


class GroupedLinear(torch.autograd.Function):
    """A linear map for each head: forward as a grouped convolution of one row, backward as one product a head.

    Both are the faster of the two on a processor.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.heads = heads
        row = x[None, None].permute(0, 3, 1, 2)  # (N, in) -> (1, in, 1, N), channels last
        out = F.conv2d(row, weight[..., None, None], bias, groups=heads)
        return out[0, :, 0].t()  # (1, out, 1, N) -> (N, out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        heads = ctx.heads
        of_heads = grad.view(grad.size(0), heads, -1).transpose(0, 1)  # (N, out) -> (H, N, out / H)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            product = of_heads @ weight.view(heads, -1, weight.size(1))  # (H, N, in / H)
            grad_x = product.transpose(0, 1).flatten(1)  # (H, N, in / H) -> (N, in)
        if ctx.needs_input_grad[1]:
            parts = x.view(x.size(0), heads, -1).transpose(0, 1)  # (N, in) -> (H, N, in / H)
            grad_weight = (of_heads.transpose(1, 2) @ parts).flatten(0, 1)  # (H, out / H, in / H) -> (out, in / H)
        return grad_x, grad_weight, grad.sum(0) if ctx.needs_input_grad[2] else None, None


class LeanNormGELU(torch.autograd.Function):
    """Batch norm and GELU that keep their input alone."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> Tensor:  # noqa: ARG004
        ctx.step = NormGELU(h, norm)
        ctx.step.update(norm, h.size(0))
        ctx.save_for_backward(h)
        return ctx.step.apply(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        grad = grad.clone(memory_format=torch.contiguous_format)
        return grad, *ctx.step.backward_(grad, h), None


class LeanFFN(torch.autograd.Function):
    r"""`W_2 GELU(BN(W_1 x + b_1)) + b_2` that keeps x alone and computes the hidden features again.

    The gradient of :math:`b_1` is exactly 0: batch norm takes away what a bias adds.
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
        norm: nn.BatchNorm1d,
    ) -> Tensor:
        ctx.save_for_backward(x, weight_1, bias_1, weight_2)
        h = F.linear(x, weight_1, bias_1)
        ctx.step = NormGELU(h, norm)
        ctx.step.update(norm, h.size(0))
        return F.linear(ctx.step.apply(h, out=h), weight_2, bias_2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_1, bias_1, weight_2 = ctx.saved_tensors
        grad = grad.contiguous()
        h = F.linear(x, weight_1, bias_1)
        hidden = ctx.step.apply(h)
        grad_weight_2 = grad.t() @ hidden
        grad_h = torch.mm(grad, weight_2, out=hidden)
        grad_norm = ctx.step.backward_(grad_h, h)
        grad_x = grad_h @ weight_1 if ctx.needs_input_grad[0] else None
        return grad_x, grad_h.t() @ x, torch.zeros_like(bias_1), *grad_norm, grad_weight_2, grad.sum(0), None
