"""Batch norm over the images of all processes, for CPUs; for GPUs, torch provides such a layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOfAll(torch.autograd.Function):
    """A sum over processes, whose gradient is also a sum over processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004  (torch's signature)
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        total = grad.clone()
        dist.all_reduce(total)
        return total


class SyncNorm(_BatchNorm):
    """Batch norm with statistics over all processes; in evaluation, or with one process, an ordinary batch norm.

    Shapes: `(N, C, ...)` to `(N, C, ...)`; N may differ between processes.

    Example:
        >>> SyncNorm(4)(torch.rand(3, 4)).shape
        torch.Size([3, 4])
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        others = [0, *range(2, input.dim())]
        shape = (1, -1, *[1] * (input.dim() - 2))
        size = input.new_tensor([input.numel() / input.size(1)])
        sums = _SumOfAll.apply(torch.cat([input.sum(others), size]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centered = input - mean.view(shape)
        variance = _SumOfAll.apply(centered.square().sum(others)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
        out = centered * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out


def sync_norms(model: nn.Module, device: torch.device) -> None:
    """Replace each batch norm of a network by one over all processes, in place; names and values do not change.

    Frozen batch norms, whose parameters require no gradient, use no batch statistics and are not replaced.

    Args:
        model: The network; it must not be a batch norm itself.

    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(4)); sync_norms(model, torch.device("cpu")); type(model[0]).__name__
        'SyncNorm'
    """
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm) and child.affine and not child.weight.requires_grad:
            continue
        if isinstance(child, _BatchNorm) and device.type == "cuda":
            setattr(model, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
        elif isinstance(child, _BatchNorm):
            size = child.num_features
            norm = SyncNorm(size, child.eps, child.momentum, child.affine, child.track_running_stats)
            norm.load_state_dict(child.state_dict())
            norm.train(child.training)
            setattr(model, name, norm)
        else:
            sync_norms(child, device)
