"""Matrix products of linear layers and of their gradients, for autograd functions; float32 on a CPU runs in oneDNN.

torch computes products in float32 with MKL, which uses only a part of the vector units of other vendors' CPUs: on an
AMD EPYC (Zen 5), oneDNN is 2.1 to 2.3 times as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.ops._eager import is_eager_on_cpu

#: Multiply-accumulates below which the longer call of oneDNN's layer costs more than it gains.
_SMALL = 2**18
#: Rows that are summed at a time. oneDNN reads transposed operands column by column, so they must stay in the cache.
_ROWS = 2048


def map_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Multiply each row with a matrix, as a linear layer, :math:`x W^T + b`.

    Args:
        x: Rows `(N, in)`.
        weight: The matrix `(out, in)`; a transposed one is not copied.
        bias: Bias `(out,)`, or `None`.

    Shapes: to `(N, out)`.

    Example:
        >>> map_rows(torch.ones(3, 2), torch.ones(4, 2)).tolist()
        [[2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0]]
    """
    fits = x.dim() == weight.dim() == 2 and x.size(1) == weight.size(1)  # else torch's error is the clearer one
    if bias is not None:  # it may need a gradient although the weight is frozen
        fits = fits and bias.dtype is weight.dtype and not (bias.requires_grad and torch.is_grad_enabled())
    if fits and takes_one_dnn(x, weight) and weight.size(0) * x.numel() >= _SMALL:
        return one_dnn_linear()(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def sum_of_products(a: Tensor, b: Tensor) -> Tensor:
    r"""Sum the outer products of the rows of a and b, :math:`a^T b`, as the gradient of a linear layer's weights does.

    Example:
        >>> sum_of_products(torch.ones(3, 2), torch.ones(3, 1)).tolist()
        [[3.0], [3.0]]
    """
    fits = a.dim() == b.dim() == 2 and a.size(0) == b.size(0)
    if not (fits and takes_one_dnn(a, b) and a.size(1) * b.numel() >= _SMALL):
        return a.t() @ b
    # oneDNN copies its first operand, which should be the narrower one.
    narrow, wide, swapped = (b, a, True) if b.size(1) < a.size(1) else (a, b, False)
    total: Tensor | None = None
    for part, other in zip(narrow.split(_ROWS), wide.split(_ROWS), strict=True):
        product = one_dnn_linear()(part.t(), other.t(), None, "none", [], "")
        total = product if total is None else total.add_(product)
    assert total is not None  # a and b have rows
    return total.t().contiguous() if swapped else total


@cache
def one_dnn_linear() -> Callable[..., Tensor]:
    """Return oneDNN's linear layer with a fused activation; it is cached because looking up an overload takes time.

    Shapes: the returned function maps x `(N, in)`, weight `(out, in)` and bias `(out,)` or `None` to `(N, out)`.

    Raises:
        AttributeError: If `has_one_dnn` is false.

    Example:
        >>> x, weight = torch.ones(1, 2), torch.ones(3, 2)
        >>> one_dnn_linear()(x, weight, None, "none", [], "").tolist() if has_one_dnn() else [[2.0, 2.0, 2.0]]
        [[2.0, 2.0, 2.0]]
    """
    found: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
    return found


@cache
def has_one_dnn() -> bool:
    """True if torch has oneDNN's fused layers.

    Example:
        >>> has_one_dnn() in (True, False)
        True
    """
    names = "_linear_pointwise", "_convolution_pointwise", "_is_mkldnn_bf16_supported"
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


def takes_one_dnn(a: Tensor, b: Tensor) -> bool:
    """True if oneDNN multiplies these matrices fast, and nobody has to see or to differentiate torch's operator.

    Example:
        >>> takes_one_dnn(torch.ones(3, 2), torch.ones(4, 2).double())
        False
    """
    if not (a.dtype is b.dtype is torch.float32 and a.numel() and b.numel()):
        return False
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        return False
    # for matrices with gaps oneDNN has slow code only
    dense = a.is_contiguous() and (b.is_contiguous() or b.t().is_contiguous())
    return dense and is_eager_on_cpu(a, b) and has_one_dnn() and torch._C._get_mkldnn_enabled()
