"""Batch norm folded into the map before it, for inference."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from vig_pyg.layers import MultiHeadLinear

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@torch.no_grad()
def fuse(model: ModuleT) -> ModuleT:
    r"""A copy for inference, in evaluation mode, with every batch norm folded into the linear map or convolution before it.

    .. math:: \gamma\,\frac{W x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b'

    Args:
        model: A model, or any module whose batch norms follow a `MultiHeadLinear` or a `Conv2d` in a `Sequential`
            (or as `fc1` and `norm` in the classifier's head).

    Returns:
        The copy; its outputs equal the model's up to rounding. It cannot be trained.

    Example:
        >>> from vig_pyg import vig_micro
        >>> any(isinstance(m, torch.nn.BatchNorm1d) for m in fuse(vig_micro()).modules())
        False
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in fused.modules():
        children = list(parent.named_children())
        for (_, layer), (name, norm) in zip(children, children[1:], strict=False):
            if isinstance(layer, MultiHeadLinear | nn.Conv2d) and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                _fold(layer, norm)
                setattr(parent, name, nn.Identity())
    return fused


def _fold(layer: MultiHeadLinear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None and layer.bias is not None
    # in float64: folding is done once, and its rounding would stay in every output
    scale = norm.weight.double() / (var.double() + norm.eps).sqrt()
    bias = (layer.bias.double() - mean.double()) * scale + norm.bias.double()
    weight: Tensor = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    layer.weight.data = weight.to(layer.weight.dtype)
    layer.bias.data = bias.to(layer.bias.dtype)
