"""What autocast makes of features."""

from __future__ import annotations

import torch
from torch import Tensor

#: Devices that have autocast. torch's own question for it ends the graph of older compilers.
_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu")


def autocast_type(x: Tensor) -> torch.dtype | None:
    """The type in which autocast runs a product with these features, or `None` where it leaves them as they are.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     autocast_type(torch.rand(1)), autocast_type(torch.rand(1).double())
        (torch.bfloat16, None)
    """
    device = "cpu" if x.is_cpu else x.device.type
    if device not in _DEVICES:
        return None
    if not torch.is_autocast_enabled(device) or x.dtype is torch.float64 or not x.is_floating_point():
        return None
    return torch.get_autocast_dtype(device)
