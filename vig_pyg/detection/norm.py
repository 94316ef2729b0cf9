"""Batch norm in detectors: frozen, ordinary, or synchronized over devices."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

NormMode = Literal["frozen", "batch", "sync"]
NORM_MODES: tuple[NormMode, ...] = ("frozen", "batch", "sync")


class FrozenBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm whose statistics, weight and bias do not change in training, for nodes and for feature maps.

    It has the same buffers and parameters as an ordinary batch norm, so both can load the same weights. The parameters
    require no gradient.

    Args:
        norm: The batch norm to replace, which must have running statistics. Its tensors are shared, not copied.

    Shapes: `(N, C)` or `(B, C, H, W)` to the same shape.

    Example:
        >>> import torch
        >>> frozen = FrozenBatchNorm(nn.BatchNorm1d(3, eps=2.0**-30)).train()
        >>> frozen(torch.ones(2, 3)).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _check_input_dim(self, _: Tensor) -> None:
        """Accept any number of dimensions, for feature maps and nodes."""


def freeze_norms(module: nn.Module) -> nn.Module:
    """Replace every batch norm of a module by a `FrozenBatchNorm`, in place, and return the module.

    Example:
        >>> type(freeze_norms(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))[1]).__name__
        'FrozenBatchNorm'
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return FrozenBatchNorm(module)
    for name, child in module.named_children():
        setattr(module, name, freeze_norms(child))
    return module


def set_norms(module: nn.Module, mode: NormMode) -> None:
    """Make every batch norm below a module frozen, ordinary or synchronized.

    Args:
        mode: `"frozen"`, `"batch"` (ordinary batch norms) or `"sync"` (statistics over all devices of a distributed
            training, which on one device is the same as `"batch"`).

    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(3)); set_norms(model, "frozen"); type(model[0]).__name__
        'FrozenBatchNorm'
    """
    if mode not in NORM_MODES:
        raise ValueError(f"Unknown norm {mode!r}: choose one of {', '.join(NORM_MODES)}.")
    if mode == "frozen":
        freeze_norms(module)
    elif mode == "sync":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
