"""A whole residual branch as one autograd function for training: two linear layers, their norms, and the sum.

Unlike a chain of functions, a single function converts its input only once, and adds the residual connection in the
kernel of the last norm. On a GPU, which waits for the host to launch the kernels one by one, it also has fewer of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vig_pyg.ops._autocast import autocast_type
from vig_pyg.ops._batch_norm import Norm
from vig_pyg.ops._norm_step import keeps_hidden, norm_step
from vig_pyg.ops._products import map_rows, sum_of_products
from vig_pyg.ops.grouped_linear import grouped, grouped_gradients


class RecomputedBranch(torch.autograd.Function):
    r"""`r + BN(W_2 GELU(BN(W_1 x + b_1)) + b_2)` with a multi-head W_1; the hidden activations are recomputed
    (or kept, see `keeps_hidden`).

    The norms cancel both biases, which therefore only shift their running means and have the gradient 0. Weights are
    converted to the dtype of autocast; biases are not converted. The residual r is x itself, other nodes, or nothing.

    Shapes: x `(N, C)` and r `(N, C')` to `(N, C')`; see `vig_pyg.ops.mlp`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight_1: Tensor,
        bias_1: Tensor,
        norm_weight_1: Tensor,  # noqa: ARG004  (named so that it gets its gradient)
        norm_bias_1: Tensor,  # noqa: ARG004
        weight_2: Tensor,
        bias_2: Tensor,
        norm_weight_2: Tensor,  # noqa: ARG004
        norm_bias_2: Tensor,  # noqa: ARG004
        norms: tuple[Norm, Norm],
        heads: int,
        adds_x: bool,
    ) -> Tensor:
        ctx.heads, ctx.adds_x, ctx.types = heads, adds_x, (x.dtype, weight_1.dtype, bias_1.dtype, bias_2.dtype)
        added = x if adds_x else residual
        dtype = autocast_type(x) or x.dtype
        x, weight_1, weight_2 = (part.to(dtype) for part in (x, weight_1, weight_2))
        h = grouped(x, weight_1, None, heads)
        first = norm_step(h, norms[0], bias_1, gelu=True)
        kept = h if keeps_hidden(h) else None
        out = map_rows(first.apply(h, out=h if kept is None else None), weight_2)
        last = norm_step(out, norms[1], bias_2, gelu=False)
        ctx.steps = first, last
        ctx.save_for_backward(x, weight_1, weight_2, out, kept)
        if added is None:
            return last.apply(out)
        result = torch.empty_like(out, dtype=torch.promote_types(added.dtype, dtype))
        return last.apply(out, result, added)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_1, weight_2, out, kept = ctx.saved_tensors
        (first, last), (x_type, weight_type, *bias_types) = ctx.steps, ctx.types
        grad_out, of_last = last.backward(grad, out)
        h = grouped(x, weight_1, None, ctx.heads) if kept is None else kept
        hidden = first.apply(h)
        grad_weight_2 = sum_of_products(grad_out, hidden)
        del hidden  # here training needs the most memory: each wide map is freed before the next one is computed
        grad_h = map_rows(grad_out, weight_2.t())
        of_first = first.backward_(grad_h, h)
        del h, grad_out
        grad_x, grad_weight_1 = grouped_gradients(grad_h, x, weight_1, ctx.heads)
        del grad_h
        grad_x = grad + grad_x if ctx.adds_x else grad_x
        layers = (
            (grad_weight_1.to(weight_type), of_first.offset.to(bias_types[0]), of_first.weight, of_first.bias),
            (grad_weight_2.to(weight_type), of_last.offset.to(bias_types[1]), of_last.weight, of_last.bias),
        )
        grad_residual = grad if ctx.needs_input_grad[1] else None
        return grad_x.to(x_type), grad_residual, *layers[0], *layers[1], None, None, None
