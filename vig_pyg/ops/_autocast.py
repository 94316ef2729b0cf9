"""The dtype to which autocast converts features, and the device for which it is switched off."""

from __future__ import annotations

import torch
from torch import Tensor

#: Devices that support autocast. torch's own check causes graph breaks in older versions of torch.compile.
_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu")


def autocast_type(x: Tensor) -> torch.dtype | None:
    """Return the dtype in which autocast computes a matrix product of these features.

    Args:
        x: Features of any shape.

    Shapes: any shape.

    Returns:
        The dtype, or `None` if autocast does not change the features (it is off, or they are float64 or integers).

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


def autocast_device(x: Tensor) -> str:
    """Return the name of the device for which `torch.autocast` is switched off, so that it leaves features unchanged.

    Args:
        x: Features of any shape.

    Shapes: any shape.

    Example:
        >>> autocast_device(torch.rand(1)), autocast_device(torch.rand(1, device="meta"))
        ('cpu', 'cpu')
    """
    # The meta device has no autocast. It is recognized by its name, because tensors of other devices may be wrappers of
    # meta tensors, for which `is_meta` is true.
    return "cpu" if x.device.type == "meta" else x.device.type
