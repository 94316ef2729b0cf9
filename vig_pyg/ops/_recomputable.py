"""When layers may be replaced by a lean pass."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vig_pyg.ops._batch_norm import has_node_norm


def takes_lean(x: Tensor, norm: nn.Module, layers: Iterable[nn.Module]) -> bool:
    """Whether layers may be replaced by a lean pass for nodes x in this training step.

    They must be as we made them (no hook, ordinary batch statistics), and nothing else may
    transform the step (autocast, compilation, functorch).
    """
    return (
        torch.is_grad_enabled()
        and (type(norm) is nn.BatchNorm1d or type(norm) is nn.BatchNorm2d)
        and norm.training
        and norm.track_running_stats
        and norm.affine
        and norm.momentum is not None
        and has_node_norm(x, norm.num_features)
        and all(_untouched(module) for module in layers)
        and not torch.compiler.is_compiling()
        and not x.is_neg()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def _untouched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return not any(hooks)
