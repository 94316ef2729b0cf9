"""Linear layers with batch norm and GELU; the implementation depends on the device and the mode.

In training the intermediate activations are recomputed in the backward pass instead of stored: on a CPU by native
kernels (in tiles if there are many nodes in float32), and on a GPU by Triton kernels. The layers themselves are called
in evaluation mode, under compilation, and if a layer has a hook or was replaced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg.ops._autocast import autocast_type
from vig_pyg.ops._readable import readable_heads
from vig_pyg.ops._recomputable import can_recompute, is_recomputable
from vig_pyg.ops._recomputed_branch import RecomputedBranch
from vig_pyg.ops._transforms import is_transformed
from vig_pyg.ops.recomputed import RecomputedLinearNorm, RecomputedMLP, RecomputedNorm
from vig_pyg.ops.tiled import TiledMLP, is_worth_tiling


def mlp(x: Tensor, first: nn.Module, second: nn.Module, *, residual: Tensor | None = None) -> Tensor:
    r"""Compute `residual + second(first(x))`; in training, the wide activations are recomputed rather than stored.

    .. math:: r + \mathrm{BN}(W_2\,\mathrm{GELU}(\mathrm{BN}(W_1 x + b_1)) + b_2)

    (FFN and update of Vision GNN, arXiv 2206.00272, section 3).

    Args:
        x: Nodes `(N, C)`.
        first: A sequence of linear layer, batch norm and GELU. Other modules are simply called.
        second: A sequence of linear layer and batch norm.
        residual: Nodes r `(N, C')` to which the result is added. The default, `None`, adds nothing.

    Shapes: `(N, C)` to `(N, C')`.

    Example:
        >>> first, second = nn.Sequential(nn.Linear(8, 16), nn.GELU()), nn.Linear(16, 8)
        >>> mlp(torch.rand(5, 8), first, second).shape
        torch.Size([5, 8])
    """
    layers = (first, *first.children(), second, *second.children())
    heads = _heads_of_mlp(layers)
    if heads == 0 or not can_recompute(x, layers[2], layers) or not _fits(x, layers[1], layers[5]):
        plain: Tensor = second(first(x))
        return plain if residual is None else residual + plain
    modules: tuple[Any, ...] = layers
    _, linear_1, norm, _, _, linear_2, last = modules
    tiled = x.is_cpu and is_worth_tiling(x, autocast_type(x) or x.dtype)
    if not tiled and _is_one_branch(x, residual, last):
        adds_x = residual is x
        layers_and_norms = (part for pair in ((linear_1, norm), (linear_2, last)) for part in pair)
        parameters = (parameter for layer in layers_and_norms for parameter in (layer.weight, layer.bias))
        return RecomputedBranch.apply(x, None if adds_x else residual, *parameters, (norm, last), heads, adds_x)
    bias_1 = linear_1.bias  # this bias only shifts a running mean, so it is not converted
    x_low, weight_1, weight_2, bias_2 = _cast(x, linear_1.weight, linear_2.weight, linear_2.bias)
    function = TiledMLP if tiled else RecomputedMLP
    out: Tensor = function.apply(
        x_low, weight_1, bias_1, norm.weight, norm.bias, weight_2, bias_2, norm, heads, last.training
    )
    if residual is not None and _is_one_branch(out, residual, last):
        out = RecomputedNorm.apply(out, last.weight, last.bias, residual, last, False)
        return out
    out = batch_norm_gelu(out, last)
    return out if residual is None else residual + out


def linear_norm(x: Tensor, linear: nn.Module, norm: nn.Module) -> Tensor:
    r"""Compute `norm(linear(x))`; in training, the result of the linear layer is recomputed rather than stored.

    .. math:: \mathrm{BN}(W x + b)

    Args:
        x: Nodes `(N, C)`.
        linear: The linear layer.
        norm: The batch norm over nodes.

    Shapes: `(N, C)` to `(N, C')`.

    Example:
        >>> linear_norm(torch.rand(5, 8), nn.Linear(8, 16), nn.BatchNorm1d(16)).shape
        torch.Size([5, 16])
    """
    if readable_heads(linear) == 1 and can_recompute(x, norm, (linear, norm)) and _fits(x, linear):
        layer: Any = linear
        x, weight = _cast(x, layer.weight)
        out: Tensor = RecomputedLinearNorm.apply(x, weight, layer.bias, norm.weight, norm.bias, norm)
        return out
    plain: Tensor = norm(linear(x))
    return plain


def batch_norm_gelu(x: Tensor, norm: nn.Module, gelu: nn.Module | None = None) -> Tensor:
    r"""Compute `gelu(norm(x))`; in training, only x is stored for the backward pass.

    .. math:: \mathrm{GELU}(\mathrm{BN}(x))

    Args:
        x: Nodes `(N, C)`, or feature maps `(B, C, H, W)`; maps must be channels-last for the fused implementation.
        norm: The batch norm.
        gelu: The GELU, or `None` for the batch norm alone.

    Shapes: `(N, C)` to `(N, C)`, or `(B, C, H, W)` to `(B, C, H, W)`.

    Example:
        >>> batch_norm_gelu(torch.rand(2, 8, 4, 4), nn.BatchNorm2d(8), nn.GELU()).shape
        torch.Size([2, 8, 4, 4])
    """
    if gelu is None or _is_gelu(gelu):
        nodes = _as_nodes(x)
        if nodes is not None and can_recompute(nodes, norm, [norm] if gelu is None else [norm, gelu]):
            out: Tensor = RecomputedNorm.apply(nodes, norm.weight, norm.bias, None, norm, gelu is not None)
            if x.dim() == 2:
                return out
            return out.view(x.size(0), *x.shape[2:], -1).permute(0, 3, 1, 2)  # (B H W, C) -> (B, C, H, W)
    plain: Tensor = norm(x)
    return plain if gelu is None else gelu(plain)


def _is_one_branch(x: Tensor, residual: Tensor | None, last: nn.Module) -> bool:
    """True if the kernels also support the norm after the second linear layer, and the residual connection."""
    if not can_recompute(x, last, (last,)):
        return False
    return residual is None or (residual.is_contiguous() and residual.dtype in (x.dtype, torch.float32))


def _as_nodes(x: Tensor) -> Tensor | None:
    """View channels-last feature maps as nodes; return `None` for another memory format."""
    if x.dim() == 2:
        return x if x.is_contiguous() else None
    if x.dim() != 4 or is_transformed() or not x.is_contiguous(memory_format=torch.channels_last):
        return None
    return x.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C, H, W) -> (B H W, C)


def _heads_of_mlp(layers: tuple[nn.Module, ...]) -> int:
    """Return the number of heads of the first linear layer if `RecomputedMLP` can replace the layers, otherwise 0.

    The layers must be a linear layer, a batch norm and GELU, followed by a linear layer and a batch norm.
    """
    if len(layers) != 7 or not layers[2].training:  # in evaluation mode nothing is stored
        return 0
    first, linear_1, norm_1, gelu, second, linear_2, norm_2 = layers
    plain = type(first) is nn.Sequential and type(norm_1) is type(norm_2) is nn.BatchNorm1d and _is_gelu(gelu)
    if not (plain and is_recomputable(second) and readable_heads(linear_2) == 1):
        return 0
    return readable_heads(linear_1)


def _fits(x: Tensor, *layers: Any) -> bool:
    """True if autocast converts nodes and layers, or they have one dtype; otherwise the layers raise the error."""
    dtype = autocast_type(x)
    known = (x.dtype,) if dtype is None else (dtype, torch.float32)
    return all(layer.weight.dtype in known and (layer.bias is None or layer.bias.dtype in known) for layer in layers)


def _is_gelu(layer: nn.Module) -> bool:
    return type(layer) is nn.GELU and layer.approximate == "none"


def _cast(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """Convert nodes and weights to the dtype of autocast, as autocast would do for each product."""
    dtype = autocast_type(x)
    return (x, *weights) if dtype is None else tuple(part.to(dtype) for part in (x, *weights))
