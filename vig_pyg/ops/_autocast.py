"""What autocast makes of features."""

from __future__ import annotations

import torch
from torch import Tensor


def autocast_type(x: Tensor) -> torch.dtype | None:
    """The type in which autocast runs a product with these features, or `None` where it leaves them as they are.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     autocast_type(torch.rand(1)), autocast_type(torch.rand(1).double())
        (torch.bfloat16, None)
    """
    if x.is_cpu:
        device = "cpu"
    else:
        device = x.device.type
        if not torch.amp.is_autocast_available(device):
            return None
    if not torch.is_autocast_enabled(device) or x.dtype is torch.float64 or not x.is_floating_point():
        return None
    return torch.get_autocast_dtype(device)
