"""Conditions under which layers may be replaced by an autograd function that recomputes intermediates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from vig_pyg.ops._batch_norm import DTYPES, has_node_norm
from vig_pyg.ops._gpu_batch_norm import has_gpu_norm

ForwardT = TypeVar("ForwardT", bound=Callable[..., Tensor])


def recomputable(forward: ForwardT) -> ForwardT:
    """Mark the `forward` of a layer as replaceable by a function of this package; overriding methods are not marked.

    Args:
        forward: The method; it is returned unchanged except for the mark.

    Example:
        >>> class Doubled(torch.nn.Module):
        ...     @recomputable
        ...     def forward(self, x):
        ...         return 2 * x
    """
    forward._vig_pyg_recomputable = True  # type: ignore[attr-defined]
    return forward


def is_recomputable(layer: nn.Module) -> bool:
    """True if the `forward` of the layer is marked by `recomputable`, and the instance does not override it."""
    return getattr(type(layer).forward, "_vig_pyg_recomputable", False) and "forward" not in layer.__dict__


def can_recompute(x: Tensor, norm: nn.Module, layers: Iterable[nn.Module]) -> bool:
    """True if an autograd function that recomputes intermediates may replace layers for nodes x in this training step.

    The layers must have no hooks and an affine batch norm with running statistics in training mode. Compilation and
    functorch must not be active, and on a CPU autocast must be off or use bfloat16.
    """
    return (
        torch.is_grad_enabled()
        and (type(norm) is nn.BatchNorm1d or type(norm) is nn.BatchNorm2d)
        and norm.training
        and norm.track_running_stats
        and norm.affine
        and norm.momentum is not None
        and _has_kernels(x, norm)
        and all(_is_untouched(module) for module in layers)
        and not torch.compiler.is_compiling()
        and not x.is_neg()
        and not torch._C._are_functorch_transforms_active()
    )


def _has_kernels(x: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    if x.is_cpu:
        # Autocast computes the products in its dtype, also those of float32 nodes.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        return dtype in DTYPES and norm.weight.dtype is torch.float32 and has_node_norm(x, norm.num_features)
    return has_gpu_norm(x, norm)


def _is_untouched(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return not any(hooks)
