"""`fuse`: rewrite a model for faster inference by folding batch norms and fusing activations."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from vig_pyg._fused_layers import FusedFFN, FusedLayer, FusedPosition
from vig_pyg._low_precision import Fusable
from vig_pyg.conv import EdgeConv
from vig_pyg.head import ClassifierHead
from vig_pyg.layers import FFN, LayerScale, LinearNorm
from vig_pyg.local import ConditionalPosition
from vig_pyg.ops import has_own_numbers, readable_heads
from vig_pyg.position import PositionEmbedding

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@torch.no_grad()
def fuse(model: ModuleT) -> ModuleT:
    r"""Return a faster copy of a model for inference, in evaluation mode; its outputs are equal up to rounding.

    Every batch norm is folded into the linear layer or convolution before it:

    .. math:: \gamma\,\frac{W x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b'

    Activations are computed in place, or together with the layer before them. On a CPU, the FFN processes the nodes in
    slices that fit the cache. Under autocast, a copy of the weights in autocast's dtype is cached, and on a GPU the
    residual stream uses this dtype too.

    If a tool has replaced a layer, for example by a quantized layer or one with low-rank weights, the batch norm after
    it is not folded, and the layer is called unchanged.

    Args:
        model: A model, or any module. A batch norm is folded if it follows a `MultiHeadLinear` or a `Conv2d`, or if it
            follows an `nn.Linear` in an `nn.Sequential`.

    Shapes: those of the model.

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
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and _is_foldable(layer, parent):
                _fold(layer, norm)
                setattr(parent, name, nn.Identity())
    for module in list(fused.modules()):
        _fold_family(module)
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FFN) and child.scale is None and _is_folded(child.fc1) and _is_folded(child.fc2):
                setattr(parent, name, FusedFFN(child))
            elif type(child) is PositionEmbedding:
                setattr(parent, name, FusedPosition(child))
    kept = {part for module in fused.modules() if isinstance(module, EdgeConv) for part in module.modules()}
    for parent in list(fused.modules()):
        if not isinstance(parent, FusedLayer) and parent not in kept:  # EdgeConv reads its linear layer's weights
            _join(parent)
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LinearNorm) and isinstance(child[0], FusedLayer) and type(child[1]) is nn.Identity:
                setattr(parent, name, child[0])
    return fused.eval()  # the replaced layers are new modules, which start in training mode


def _fold_family(module: Any) -> None:
    """Fold a layer scale into the linear layer before it, and the input of a position encoding into its convolution."""
    if isinstance(getattr(module, "scale", None), LayerScale) and _is_folded(module.fc2):
        layer, gamma = module.fc2[0], module.scale.gamma.double()
        layer.weight.data = (layer.weight.double() * gamma.unsqueeze(1)).to(layer.weight.dtype)
        layer.bias.data = (layer.bias.double() * gamma).to(layer.bias.dtype)
        module.scale = None
    elif isinstance(module, ConditionalPosition) and _is_foldable(module.conv, module):
        module.fold()
    elif isinstance(module, ClassifierHead) and module.distillation:
        pair = module.fc2, module.fc_dist
        if all(_is_foldable(layer, module) and type(layer) is nn.Linear for layer in pair):
            for name in ("weight", "bias"):
                getattr(module.fc2, name).data = sum(getattr(layer, name) for layer in pair) / 2
            module.distillation = False
            del module.fc_dist


def _join(parent: nn.Module) -> None:
    """Replace each linear layer or convolution, and the GELU that follows it, by one `FusedLayer`."""
    children = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
    for (name, child), (after, following) in zip(children, [*children[1:], ("", None)], strict=False):
        if _is_known(child, parent):
            gelu = type(following) is nn.GELU
            setattr(parent, name, FusedLayer(child, gelu=gelu))
            if gelu:
                setattr(parent, after, nn.Identity())


def _is_known(layer: nn.Module | None, parent: nn.Module) -> TypeGuard[Fusable]:
    """True if a `FusedLayer` can replace this layer: it is not a subclass, and it pads with a fixed number of zeros."""
    if layer is None or type(layer) is not nn.Conv2d:
        return layer is not None and _is_linear(layer, parent)
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return plain and has_own_numbers(layer)


def _is_foldable(layer: nn.Module, parent: nn.Module) -> TypeGuard[Fusable]:
    """True if the layer is affine in its weight and bias, and these are parameters that no hook computes."""
    if isinstance(layer, nn.Conv2d):
        affine = type(layer).forward is nn.Conv2d.forward and "forward" not in layer.__dict__
        affine = affine and has_own_numbers(layer)
    else:
        affine = _is_linear(layer, parent)
    return affine and {"weight", "bias"} <= layer._parameters.keys()


def _is_linear(layer: nn.Module, parent: nn.Module) -> bool:
    """True for a linear layer that is known to be followed by the next child; an `nn.Linear` must be in a sequence."""
    in_order = type(parent) in (nn.Sequential, LinearNorm, ClassifierHead) or type(layer) is not nn.Linear
    return in_order and readable_heads(layer) > 0


def _is_folded(layers: nn.Sequential) -> bool:
    """True for a plain linear layer with one head, into which the batch norm is folded."""
    return type(layers[0]) is nn.Linear and readable_heads(layers[0]) == 1 and type(layers[1]) is nn.Identity


def _fold(layer: Fusable, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None and layer.bias is not None
    # Folding is computed in float64, because its rounding error would be part of every output.
    scale = norm.weight.double() / (var.double() + norm.eps).sqrt()
    bias = (layer.bias.double() - mean.double()) * scale + norm.bias.double()
    weight: Tensor = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    if weight.dim() == 4:  # the input is channels-last too, so the weight need not be converted in each call
        weight = weight.contiguous(memory_format=torch.channels_last)
    layer.weight.data = weight.to(layer.weight.dtype)
    layer.bias.data = bias.to(layer.bias.dtype)
