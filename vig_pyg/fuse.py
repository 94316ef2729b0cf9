"""A model rewritten for inference: batch norm folded away, activations joined, wide intermediates in slices."""

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
    r"""A faster copy for inference, in evaluation mode; its outputs equal the model's up to rounding.

    Every batch norm is folded into the linear layer or convolution before it,

    .. math:: \gamma\,\frac{W x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b'

    activations run in place or with the layer before them, and on a CPU the FFN runs on slices of the nodes. Under
    autocast the weights are kept in its type too; on a GPU the residual stream is then of this type.

    Args:
        model: A model, or any module whose batch norms follow a `MultiHeadLinear` or a `Conv2d`.

    Returns:
        The copy. It cannot be trained, and its weights are not those of a checkpoint: save the model instead.

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
        if not isinstance(parent, FusedLayer) and parent not in kept:  # EdgeConv looks into its linear layer
            _join(parent)
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LinearNorm) and isinstance(child[0], FusedLayer):  # nothing is left behind its layer
                setattr(parent, name, child[0])
    return fused.eval()  # the new parts too


def _join(parent: nn.Module) -> None:
    """Linear layers and convolutions become `FusedLayer`s, with the GELU that follows."""
    children = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
    for (name, child), (after, following) in zip(children, [*children[1:], ("", None)], strict=False):
        if isinstance(child, MultiHeadLinear | nn.Conv2d) and child.bias is not None:
            gelu = type(following) is nn.GELU
            setattr(parent, name, FusedLayer(child, gelu=gelu))
            if gelu:
                setattr(parent, after, nn.Identity())


def _fold(layer: MultiHeadLinear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None and layer.bias is not None
    # in float64: folding is done once, and its rounding would stay in every output
    scale = norm.weight.double() / (var.double() + norm.eps).sqrt()
    bias = (layer.bias.double() - mean.double()) * scale + norm.bias.double()
    weight: Tensor = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    if weight.dim() == 4:  # as its input will be: no copy at every call
        weight = weight.contiguous(memory_format=torch.channels_last)
    layer.weight.data = weight.to(layer.weight.dtype)
    layer.bias.data = bias.to(layer.bias.dtype)
