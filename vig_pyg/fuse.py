"""A model rewritten for inference: batch norm folded away, activations in place, wide intermediates in slices."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from vig_pyg.layers import FFN, MultiHeadLinear

ModuleT = TypeVar("ModuleT", bound=nn.Module)

#: Bytes of an FFN's hidden features held at once: what fits a cache is not fetched from memory again.
HIDDEN_BUDGET = 12 * 2**20


class InplaceGELU(nn.Module):
    """GELU that overwrites its input, the fresh result of the map before it."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.gelu_(x)
        return out


class FusedFFN(nn.Module):
    """The FFN on slices of the nodes.

    Args:
        ffn: The FFN, its batch norms folded.

    Shapes: as `FFN`.
    """

    def __init__(self, ffn: FFN) -> None:
        super().__init__()
        fc1, fc2 = ffn.fc1[0], ffn.fc2[0]
        assert isinstance(fc1, MultiHeadLinear) and isinstance(fc2, MultiHeadLinear)
        self.fc1 = fc1
        self.fc2 = fc2

    def forward(self, x: Tensor, batch: Tensor, num_graphs: int) -> Tensor:  # noqa: ARG002  (the FFN's contract)
        rows = max(1, HIDDEN_BUDGET // (self.fc1.out_channels * x.element_size()))
        if x.size(0) <= rows:
            return self._part(x)
        return torch.cat([self._part(part) for part in x.split(-(-x.size(0) // -(-x.size(0) // rows)))])

    def _part(self, x: Tensor) -> Tensor:
        hidden = torch.ops.aten.gelu_(self.fc1(x))
        out: Tensor = self.fc2(hidden)
        return out.add_(x) if out.dtype == x.dtype else out + x


@torch.no_grad()
def fuse(model: ModuleT) -> ModuleT:
    r"""A faster copy for inference, in evaluation mode; its outputs equal the model's up to rounding.

    Every batch norm is folded into the linear map or convolution before it,

    .. math:: \gamma\,\frac{W x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b'

    activations run in place, and the FFN runs on slices of the nodes.

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
            elif type(child) is nn.GELU:
                setattr(parent, name, InplaceGELU())
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
