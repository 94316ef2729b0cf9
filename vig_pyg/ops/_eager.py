"""Calls of the implementations for GPUs without torch's dispatcher.

A custom operator passes through the dispatcher and back into Python, which takes as long as a small kernel runs, about
13 µs of host time on a fast CPU. In an ordinary eager call nothing but the implementation can be the outcome.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Type of the devices whose implementations are called directly. Tests set it to the CPU.
_DEVICE = "cuda"
_PLAIN = (Tensor, torch.nn.Parameter)


def is_eager_on_gpu(*tensors: Tensor) -> bool:
    """True if an operator on these tensors may call its implementation for GPUs directly.

    Subclasses of tensors, compilation, tracing, functorch and modes (fake tensors, counters of operations, exports)
    must see the operator itself. The caller makes sure that no gradient is needed.

    Args:
        tensors: The tensors that the operator reads.

    Example:
        >>> is_eager_on_gpu(torch.zeros(1))
        False
    """
    if torch.compiler.is_compiling():
        return False
    for tensor in tensors:
        if type(tensor) not in _PLAIN or tensor.device.type != _DEVICE:
            return False
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
    )
