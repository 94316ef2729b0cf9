"""`fuse`: rewrite a model for faster inference by folding batch norms and fusing activations."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from vig_pyg._fused_layers import FusedFFN, FusedLayer, FusedPosition
from vig_pyg.conv import EdgeConv
from vig_pyg.layers import FFN, LinearNorm, MultiHeadLinear
from vig_pyg.position import PositionEmbedding

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@torch.no_grad()
def fuse(model: ModuleT) -> ModuleT:
    r"""Return a faster copy of a model for inference, in evaluation mode; its outputs are equal up to rounding.

    Every batch norm is folded into the linear layer or convolution before it:

    .. math:: \gamma\,\frac{W x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b'

    Activations are computed in place or together with the preceding layer. On a CPU, the FFN processes the nodes in
    slices that fit the cache. Under autocast, a copy of the weights in autocast's dtype is cached, and on a GPU the
    residual stream uses this dtype too.

    Args:
        model: A model, or any module in which every batch norm follows a `MultiHeadLinear` or a `Conv2d`.

    Returns:
        The fused copy; `model` itself is not changed. The copy cannot be trained, and its state dict does not fit an
        unfused model: save `model` instead.

    Example:
        >>> from vig_pyg import vig_micro
        >>> any(isinstance(m, torch.nn.BatchNorm1d) for m in fuse(vig_micro()).modules())
        False
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(fused.modules()):
        for (_, layer), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(layer, MultiHeadLinear | nn.Conv2d) and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                _fold(layer, norm)
                setattr(parent, name, nn.Identity())
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FFN):
                setattr(parent, name, FusedFFN(child))
            elif type(child) is PositionEmbedding:
                setattr(parent, name, FusedPosition(child))
    kept = {part for module in fused.modules() if isinstance(module, EdgeConv) for part in module.modules()}
    for parent in list(fused.modules()):
        if not isinstance(parent, FusedLayer) and parent not in kept:  # EdgeConv reads the weights of its linear layer
            _join(parent)
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LinearNorm) and isinstance(child[0], FusedLayer):  # its batch norm is folded already
                setattr(parent, name, child[0])
    return fused.eval()  # the replaced layers are new modules, which start in training mode


def _join(parent: nn.Module) -> None:
    """Replace each linear layer or convolution, and the GELU that follows it, by one `FusedLayer`."""
    children = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
    for (name, child), (after, following) in zip(children, [*children[1:], ("", None)], strict=False):
        if isinstance(child, MultiHeadLinear | nn.Conv2d) and _is_known(child):
            gelu = type(following) is nn.GELU
            setattr(parent, name, FusedLayer(child, gelu=gelu))
            if gelu:
                setattr(parent, after, nn.Identity())


def _is_known(layer: MultiHeadLinear | nn.Conv2d) -> bool:
    """Whether a `FusedLayer` computes what this one does: no subclass, padding with zeros, so many on each side."""
    if type(layer) is nn.Conv2d:
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return plain and layer.bias is not None
    return type(layer) is MultiHeadLinear and layer.bias is not None


def _fold(layer: MultiHeadLinear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None and layer.bias is not None
    # Folding is computed in float64, because its rounding error would be part of every output.
    scale = norm.weight.double() / (var.double() + norm.eps).sqrt()
    bias = (layer.bias.double() - mean.double()) * scale + norm.bias.double()
    weight: Tensor = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    if weight.dim() == 4:  # the input is channels-last too, so no call converts the weight
        weight = weight.contiguous(memory_format=torch.channels_last)
    layer.weight.data = weight.to(layer.weight.dtype)
    layer.bias.data = bias.to(layer.bias.dtype)
