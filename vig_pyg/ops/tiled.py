r"""Two linear layers with batch norm and GELU between them, computed in tiles of rows.

The hidden activations are four times as wide as the nodes. Only one tile of them is in memory at a time.

Forward pass: the mean m and the covariance :math:`\Sigma` of x determine the batch statistics of :math:`h = W x`. These
are :math:`\mu = W m` and :math:`\sigma^2 = \mathrm{diag}(W \Sigma W^T)`, because batch norm cancels the bias. So one
pass over the rows is sufficient.

Backward pass: let :math:`\hat h = (h - \mu) / \sigma`, :math:`s = \gamma / \sigma`, and let d be the gradient of
:math:`\gamma \hat h + \beta`. The gradient of h is :math:`s\,(d - \bar d - \hat h\,\overline{d \hat h})`, where bars
denote means over the batch. The means are known only after the pass, but the terms that contain them are linear in x.
So the pass uses :math:`s\,d`. Afterwards, the gradient of W is corrected by means of :math:`\Sigma`, and the gradient
of x by one small matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vig_pyg.ops._batch_norm import NodeNorm, Norm
from vig_pyg.ops._products import map_rows, sum_of_products
from vig_pyg.ops.grouped_linear import grouped, input_gradient

#: Size in bytes of the hidden activations of one tile, about the cache size of two cores.
BYTES = 2**22
#: Measured number of rows per input channel above which tiling is faster, despite its additional small products.
ROWS_A_CHANNEL = 64


def is_worth_tiling(x: Tensor, dtype: torch.dtype) -> bool:
    """True if the nodes `(N, C)` are numerous enough, relative to their width, for tiling to be faster.

    Nodes in bfloat16 are not tiled: sums over tiles of gradients in bfloat16 are less exact than one long sum.

    Example:
        >>> is_worth_tiling(torch.empty(9, 8), torch.float32), is_worth_tiling(torch.empty(9999, 8), torch.float32)
        (False, True)
    """
    return dtype is torch.float32 and x.size(0) >= ROWS_A_CHANNEL * x.size(1)


class TiledMLP(torch.autograd.Function):
    """Computes `RecomputedMLP` in tiles of rows; it stores x and the covariance of the channels of x.

    Args:
        x, weight_1, bias_1, norm_weight, norm_bias, weight_2, bias_2, norm, heads, norm_follows: As for
            `RecomputedMLP`.

    Shapes: x `(N, C)` to `(N, C')`; see `vig_pyg.ops.mlp`.

    Example:
        >>> from torch import nn
        >>> x, first, norm, second = torch.rand(9, 8), nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 8)
        >>> factors = first.weight, first.bias, norm.weight, norm.bias, second.weight, second.bias
        >>> TiledMLP.apply(x, *factors, norm, 1, False).shape
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
        step = _rows_at_a_time(weight_1)
        center, covariance = _statistics(x, heads, step)
        mean = torch.cat([m @ w for m, w in _heads(heads, center[None], weight_1.t())], 1)[0]
        variance = torch.cat([(c @ w * w).sum(0) for c, w in _heads(heads, covariance, weight_1.t())])
        norm_step = NodeNorm(mean, variance, norm, gelu=True)
        norm_step.update(norm, x.size(0), bias_1)
        out = x.new_empty(x.size(0), weight_2.size(0))
        for part, to in zip(x.split(step), out.split(step), strict=True):
            h = grouped(part, weight_1, None, heads)
            to.copy_(map_rows(norm_step.apply(h, out=h), weight_2, bias_2))
        ctx.save_for_backward(x, weight_1, weight_2, center, covariance)
        ctx.heads, ctx.norm_step, ctx.norm_follows = heads, norm_step, norm_follows
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_1, weight_2, center, covariance = ctx.saved_tensors
        heads, norm, step = ctx.heads, ctx.norm_step, _rows_at_a_time(weight_1)
        grad, scaled = grad.contiguous(), weight_1 * norm.scale[:, None]
        grad_x, grad_weight_2 = torch.empty_like(x), torch.zeros_like(weight_2)
        products, sums = torch.zeros_like(weight_1), torch.zeros_like(norm.mean)  # sums of d (x - m), and of d
        for part, g, to in zip(x.split(step), grad.split(step), grad_x.split(step), strict=True):
            slope = grouped(part, weight_1, None, heads)
            hidden = torch.empty_like(slope)
            norm.apply_with_slope_(slope, hidden)
            grad_weight_2 += sum_of_products(g, hidden)
            d = map_rows(g, weight_2.t()).mul_(slope)
            sums += d.sum(0)
            for d_h, x_h, p_h in _heads(heads, d, part - center, products.t()):
                p_h += sum_of_products(x_h, d_h)
            to.copy_(input_gradient(d, scaled, heads))
        grad_gamma = norm.rate * (products * weight_1).sum(1)
        # the means of d, and of d times the normalized h, divided by the standard deviation of h
        means = torch.stack([sums, norm.rate * grad_gamma])[:, None] / x.size(0)
        constants, matrices = [], []  # of the terms that are constant, and linear in x
        for w_h, s_h, of_d, of_h in _heads(heads, weight_1.t(), scaled.t(), *means):
            constants.append(of_d @ s_h.t())
            matrices.append(s_h @ (w_h * of_h).t())
        constant, matrix = torch.cat(constants, 1), torch.cat(matrices)
        for part, to in zip(x.split(step), grad_x.split(step), strict=True):
            to.sub_(constant).sub_(grouped(part - center, matrix, None, heads))
        for p_h, w_h, of_h, c_h in _heads(heads, products.t(), weight_1.t(), means[1], covariance):
            p_h.sub_(c_h @ w_h * of_h, alpha=x.size(0))
        grad_weight_1 = products.mul_(norm.scale[:, None])
        grad_bias_2 = grad.new_zeros(grad.size(1)) if ctx.norm_follows else grad.sum(0)
        rest = torch.zeros_like(norm.mean), grad_gamma, sums, grad_weight_2, grad_bias_2
        return grad_x, grad_weight_1, *rest, None, None, None


def _rows_at_a_time(weight: Tensor) -> int:
    return max(256, BYTES // (4 * weight.size(0)))


def _statistics(x: Tensor, heads: int, step: int) -> tuple[Tensor, Tensor]:
    """Return the mean `(C,)` of the channels, and the covariance `(C / H, C)` within each head, for adjacent heads."""
    center = x.mean(0)
    covariance = x.new_zeros(x.size(1) // heads, x.size(1))
    for part in x.split(step):
        for x_h, c_h in _heads(heads, part - center, covariance):
            c_h += sum_of_products(x_h, x_h)
    return center, covariance.div_(x.size(0))


def _heads(heads: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield a tuple for each head, with the columns of this head in each tensor."""
    return zip(*(tensor.chunk(heads, 1) for tensor in tensors), strict=True)
