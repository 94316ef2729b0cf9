"""Layers of a fused model: a linear layer or convolution with GELU, the FFN, and the position embedding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from vig_pyg._low_precision import Fusable, LowPrecision
from vig_pyg.layers import FFN, MultiHeadLinear
from vig_pyg.ops import (
    autocast_type,
    bias_gelu_,
    grouped,
    has_one_dnn,
    has_own_numbers,
    is_eager_on_cpu,
    is_transformed,
    one_dnn_linear,
)
from vig_pyg.position import PositionEmbedding

#: Bytes of the hidden features of an FFN per slice on a CPU, so that they stay in the cache.
HIDDEN_BUDGET = 12 * 2**20


class FusedLayer(nn.Module):
    """A linear layer or convolution, and the GELU that follows it, in one call if that is faster.

    Under autocast it caches its weights in autocast's dtype, because autocast would convert them in every call.

    Args:
        layer: The layer, with its batch norm folded into it.
        gelu: True if GELU follows the layer.

    Shapes: those of the layer.
    """

    def __init__(self, layer: Fusable, *, gelu: bool) -> None:
        super().__init__()
        self.layer = layer
        self.gelu = gelu
        self._low = LowPrecision()

    def forward(self, x: Tensor) -> Tensor:
        layer: Any = self._modules["layer"]
        if _is_plain(x, layer) or not _is_readable(layer) or _needs_graph(x, layer.weight):
            out: Tensor = layer(x)
            if not self.gelu:
                return out
            # The result is a new tensor.
            return F.gelu(out) if out.requires_grad or is_transformed() else torch.ops.aten.gelu_(out)
        dtype = autocast_type(x)
        if dtype is None:
            run = _one_dnn if x.is_cpu else _in_place
            return run(x, layer, layer.weight, layer.bias, self.gelu)
        x = x if x.dtype is dtype else x.to(dtype)
        both = self._low.of(layer, dtype)
        run = _one_dnn if x.is_cpu and dtype is torch.bfloat16 and _has_bfloat16() else _in_place
        return run(x, layer, *both, self.gelu)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._low = LowPrecision()  # a change of device or dtype releases the cached copy
        return super()._apply(fn, recurse)


def _is_plain(x: Tensor, layer: nn.Module) -> bool:
    """True if the layer itself must be called: during compilation, under a transform, or on a CPU without oneDNN."""
    if torch.compiler.is_compiling() or x.numel() == 0 or is_transformed():
        return True
    return x.is_cpu and not torch.is_autocast_enabled("cpu") and not _takes_one_dnn(x, layer)


def _takes_one_dnn(x: Tensor, layer: Any) -> bool:
    """True if oneDNN computes this layer together with GELU; on some CPUs it is twice as fast as torch's default.

    Modes that look at torch's own operators, such as counters of operations, see them.
    """
    dtype = x.dtype
    if not (dtype is torch.float32 or (dtype is torch.bfloat16 and _has_bfloat16())) or not has_one_dnn():
        return False
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not (isinstance(weight, Tensor) and isinstance(bias, Tensor) and weight.dtype is bias.dtype is dtype):
        return False
    return torch._C._get_mkldnn_enabled() and is_eager_on_cpu(x, weight, bias) and _fits(x, weight, layer)


def _fits(x: Tensor, weight: Tensor, layer: Any) -> bool:
    """True if the widths of input and layer are equal; otherwise the layer itself raises the error."""
    if isinstance(layer, nn.Conv2d):
        return x.dim() == 4 and x.size(1) == weight.size(1) * layer.groups
    return x.dim() == 2 and x.size(1) == weight.size(1) * _heads(layer)


def _is_readable(layer: nn.Module) -> bool:
    """True if the layer is still the one that `fuse` put here, because tools may replace it or its weights."""
    if type(layer) not in (nn.Linear, MultiHeadLinear, nn.Conv2d) or "forward" in layer.__dict__:
        return False
    watched = layer._forward_hooks or layer._forward_pre_hooks or _has_any_global_hook()
    return not watched and has_own_numbers(layer)


def _needs_graph(x: Tensor, weight: Tensor) -> bool:
    """True if gradients are required; results that are written in place have no gradients."""
    return torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)


def _in_place(x: Tensor, layer: Any, weight: Tensor, bias: Tensor, gelu: bool) -> Tensor:
    """Compute the product, with the bias if a library can fuse it, then apply the rest in place."""
    if not isinstance(layer, nn.Conv2d):
        heads = _heads(layer)
        if heads == 1 or x.is_cpu:
            out = grouped(x, weight, bias, heads)
            return torch.ops.aten.gelu_(out) if gelu else out
        return bias_gelu_(grouped(x, weight, None, heads), bias, gelu=gelu)
    out = F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    nodes = out.permute(0, 2, 3, 1)
    if not nodes.is_contiguous():
        out += bias[:, None, None]
        return torch.ops.aten.gelu_(out) if gelu else out
    bias_gelu_(nodes.view(-1, nodes.size(3)), bias, gelu=gelu)  # (B, C, H, W) -> (B H W, C), a view
    return out


def _heads(layer: Any) -> int:
    return 1 if type(layer) is nn.Linear else layer.heads


def _one_dnn(x: Tensor, layer: Any, weight: Tensor, bias: Tensor, gelu: bool) -> Tensor:
    after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    if not isinstance(layer, nn.Conv2d):
        if _heads(layer) == 1:
            return one_dnn_linear()(x, weight, bias, *after)
        row = x[None, None].permute(0, 3, 1, 2)  # (N, in) -> (1, in, 1, N), channels last
        one, weight = [1, 1], weight[..., None, None]
        out = _one_dnn_convolution()(row, weight, bias, [0, 0], one, one, layer.heads, *after)
        return out[0, :, 0].t()  # (1, out, 1, N) -> (N, out)
    sizes = layer.padding, layer.stride, layer.dilation, layer.groups
    return _one_dnn_convolution()(x, weight, bias, *sizes, *after)


@cache
def _one_dnn_convolution() -> Callable[..., Tensor]:
    """Return oneDNN's fused convolution; it is cached because looking up an overload takes time."""
    found: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise.default
    return found


@cache
def _has_bfloat16() -> bool:
    """True if torch has oneDNN's fused layers and the CPU supports bfloat16."""
    return has_one_dnn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class FusedFFN(nn.Module):
    """The FFN; on a CPU it processes the nodes in slices.

    Args:
        ffn: The FFN, with its batch norms folded into its linear layers.

    Shapes: as `FFN`.
    """

    def __init__(self, ffn: FFN) -> None:
        super().__init__()
        fc1, fc2 = ffn.fc1[0], ffn.fc2[0]
        assert isinstance(fc1, nn.Linear) and isinstance(fc2, nn.Linear)
        self.fc1 = FusedLayer(fc1, gelu=True)
        self.fc2 = FusedLayer(fc2, gelu=False)
        self.hidden_channels = fc1.out_features

    def forward(self, x: Tensor, batch: Tensor, num_graphs: int) -> Tensor:  # noqa: ARG002  (the FFN's contract)
        whole = x.size(0) * self.hidden_channels * x.element_size()
        traced = torch.compiler.is_compiling() or is_transformed()  # compilers choose slices themselves
        if not x.is_cpu or traced or whole <= HIDDEN_BUDGET:
            return self.fc2(self.fc1(x)) + x
        dtype = autocast_type(x)
        rows = max(1, HIDDEN_BUDGET // (self.hidden_channels * (x.dtype if dtype is None else dtype).itemsize))
        if x.size(0) <= rows:
            return self.fc2(self.fc1(x)) + x
        rows = -(-x.size(0) // -(-x.size(0) // rows))  # all slices have about the same size
        out = torch.empty_like(x)
        for here, there in zip(out.split(rows), x.split(rows), strict=True):
            torch.add(self.fc2(self.fc1(there)), there, out=here)
        return out


class FusedPosition(PositionEmbedding):
    """The position embedding, which is added in the dtype of the feature map.

    Under autocast, the map is the half-precision result of a convolution. The sum with a float32 embedding would be
    float32. Then the residual stream would be float32 too, and each layer would convert its input.

    Args:
        embedding: The embedding; its parameter is shared.

    Shapes: those of the embedding.
    """

    def __init__(self, embedding: PositionEmbedding) -> None:
        nn.Module.__init__(self)
        self.weight = embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or is_transformed() or _needs_graph(x, self.weight):
            return super().forward(x).to(x.dtype)
        return torch.add(x, self.resized(x), out=torch.empty_like(x))  # the sum is computed in float32 and rounded once
