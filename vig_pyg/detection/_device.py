"""Where detectors compute."""

from __future__ import annotations

import torch


def find_device(device: str | torch.device | None) -> torch.device:
    """The device that is named; without a name a CUDA GPU if there is one, else the CPU.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
