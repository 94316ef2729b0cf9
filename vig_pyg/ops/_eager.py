"""Conditions under which implementations for one device are called without torch's dispatcher.

A call of a custom operator goes through the dispatcher and back into Python. This takes about 13 µs on a fast CPU, as
long as a small kernel runs. In an ordinary eager call, the dispatcher always selects the same implementation.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Type of the devices whose implementations are called directly. Tests set it to the CPU.
_DEVICE = "cuda"
_PLAIN = (Tensor, torch.nn.Parameter)


def is_eager_on_gpu(*tensors: Tensor) -> bool:
    """True if an operator on these tensors may call its implementation for GPUs directly.

    Tensor subclasses, compilation, tracing, functorch and dispatch modes (fake tensors, FLOP counters, export) need the
    operator itself. The caller must ensure that no gradient is required.

    Args:
        tensors: The tensors that the operator reads.

    Example:
        >>> is_eager_on_gpu(torch.zeros(1))
        False
    """
    return _is_eager(tensors, _DEVICE)


def is_eager_on_cpu(*tensors: Tensor) -> bool:
    """True if an operator on these tensors may call an implementation for CPUs directly (see `is_eager_on_gpu`).

    Args:
        tensors: The tensors that the operator reads.

    Shapes: any shapes.

    Example:
        >>> is_eager_on_cpu(torch.zeros(1))
        True
    """
    return _is_eager(tensors, "cpu")


def _is_eager(tensors: tuple[Tensor, ...], device: str) -> bool:
    if torch.compiler.is_compiling():
        return False
    for tensor in tensors:
        if type(tensor) not in _PLAIN or tensor.device.type != device:
            return False
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
    )
