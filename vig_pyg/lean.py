"""Passes for training that keep less: on a processor memory that is not written need not be fetched.

Each equals the plain layers it stands for up to rounding; the tests hold it to them. They can be differentiated once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vig_pyg.kernels import NodeNorm, has_node_norm


def takes_lean(x: Tensor, norm: nn.Module, layers: Iterable[nn.Module]) -> bool:
    """Whether layers may be replaced by a lean pass for nodes x in this training step.

    They must be as we made them (no hook, ordinary batch statistics), and nothing else may
    transform the step (autocast, compilation, functorch).
    """
    return (
        torch.is_grad_enabled()
        and type(norm) is nn.BatchNorm1d
        and norm.training
        and norm.track_running_stats
        and norm.affine
        and norm.momentum is not None
        and has_node_norm(x, norm.num_features)
        and all(_untouched(module) for module in layers)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def _untouched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return not any(hooks)


def grouped(x: Tensor, weight: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """A linear map for each head; on a processor a grouped convolution of one row is fastest, as no head is copied."""
    if heads == 1:
        return F.linear(x, weight, bias)
    row = x[None, None].permute(0, 3, 1, 2)  # (N, in) -> (1, in, 1, N), channels last
    return F.conv2d(row, weight[..., None, None], bias, groups=heads)[0, :, 0].t()  # (1, out, 1, N) -> (N, out)


def grouped_gradients(grad: Tensor, x: Tensor, weight: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Gradients of x and weight by one product a head: several times faster than those of the convolution."""
    if heads == 1:
        return grad @ weight, grad.t() @ x
    of_heads = grad.view(grad.size(0), heads, -1).transpose(0, 1)  # (N, out) -> (H, N, out / H)
    parts = x.view(x.size(0), heads, -1).transpose(0, 1)  # (N, in) -> (H, N, in / H)
    grad_x = of_heads @ weight.view(heads, -1, weight.size(1))  # (H, N, in / H)
    grad_weight = of_heads.transpose(1, 2) @ parts  # (H, out / H, in / H)
    return grad_x.transpose(0, 1).flatten(1), grad_weight.flatten(0, 1)


class GroupedLinear(torch.autograd.Function):
    """A linear map for each head."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.heads = heads
        return grouped(x, weight, bias, heads)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *grouped_gradients(grad, x, weight, ctx.heads), grad.sum(0), None


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
        norm: nn.BatchNorm1d,
        heads: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight_1, bias_1, weight_2)
        ctx.heads = heads
        h = grouped(x, weight_1, None, heads)
        ctx.step = NodeNorm(h, norm, gelu=True)
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
        norm: nn.BatchNorm1d,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        h = F.linear(x, weight)
        ctx.step = NodeNorm(h, norm, gelu=False)
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
    """Batch norm over nodes that keeps its input alone."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(h)
        ctx.step = NodeNorm(h, norm, gelu=False)
        ctx.step.update(norm, h.size(0), torch.zeros_like(ctx.step.mean))
        return ctx.step.apply(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        grad = grad.clone(memory_format=torch.contiguous_format)
        grad_norm = ctx.step.backward_(grad, h)  # in place, before the gradient is returned
        return grad, *grad_norm, None
