r"""Batch norm over nodes, and GELU behind it, for training on processors.

Equation: :math:`\mathrm{GELU}(\gamma\,(h - \mu) / \sigma + \beta)` with the batch's mean and deviation.
Shapes: `(N, C)`, parameters `(C,)`. Forward reads h twice and writes once; backward reads h and the gradient twice and
writes twice. Both need h alone: what lies between is computed again.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from vig_pyg.kernels._native import has_native_kernels, library

#: The channels must be a multiple of this: half of what one step of the kernels handles.
STEP = 8


#: A map's batch norm is that of its cells.
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def has_node_norm(x: Tensor, channels: int) -> bool:
    """Whether the kernels take so many channels of these nodes: on a processor, float32, a multiple of 8, several."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and x.dim() == 2 and x.is_contiguous()
    return plain and channels % STEP == 0 and x.size(0) > 1 and has_native_kernels()


class NodeNorm:
    """One use of a batch norm in training, with the batch's statistics.

    Args:
        mean: Mean of each channel `(C,)`.
        variance: Their variances (of the batch, not corrected).
        norm: The batch norm; `update` changes its running statistics.
        gelu: Whether GELU follows.

    Example:
        >>> h, norm = torch.randn(9, 16), torch.nn.BatchNorm1d(16)
        >>> torch.allclose(NodeNorm.of(h, norm, gelu=True).apply(h), torch.nn.functional.gelu(norm(h)), atol=1e-5)
        True
    """

    @classmethod
    def of(cls, h: Tensor, norm: Norm, *, gelu: bool) -> Self:
        """With the statistics of features `(N, C)`, contiguous, that `has_node_norm` accepts."""
        mean, variance = h.new_empty(2, h.size(1)).unbind()
        pointers = mean.data_ptr(), variance.data_ptr()
        if library().vig_norm_stats(h.data_ptr(), *h.shape, *pointers, torch.get_num_threads()):
            raise MemoryError(f"No memory for the statistics of {h.size(1)} channels.")
        return cls(mean, variance, norm, gelu=gelu)

    def __init__(self, mean: Tensor, variance: Tensor, norm: Norm, *, gelu: bool) -> None:
        self.gelu = int(gelu)
        self.mean, self.variance = mean, variance
        self.rate = (self.variance + norm.eps).rsqrt()
        self.scale = norm.weight.detach() * self.rate
        self.shift = norm.bias.detach() - self.mean * self.scale

    def update(self, norm: Norm, rows: int, offset: Tensor) -> None:
        """Moves the running statistics as torch's batch norm of `h + offset` does."""
        assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
        norm.running_mean.lerp_(self.mean + offset.detach(), norm.momentum)
        norm.running_var.lerp_(self.variance * (rows / (rows - 1)), norm.momentum)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1

    def apply(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalised features, with GELU where it follows, into `out` (it may be `h`)."""
        out = torch.empty_like(h) if out is None else out
        pointers = self.scale.data_ptr(), self.shift.data_ptr(), out.data_ptr()
        library().vig_norm_apply(h.data_ptr(), *h.shape, self.gelu, *pointers, torch.get_num_threads())
        return out

    def apply_with_slope_(self, h: Tensor, out: Tensor) -> None:
        """Normalised features and GELU into `out`; `h` becomes GELU's slope there."""
        pointers = self.scale.data_ptr(), self.shift.data_ptr(), out.data_ptr()
        library().vig_norm_slope(h.data_ptr(), *h.shape, *pointers, torch.get_num_threads())

    def backward_(self, grad: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Turns the gradient of the result into that of `h`; returns those of weight and bias."""
        weight, bias = h.new_empty(2, h.size(1)).unbind()
        parts = self.mean, self.rate, self.scale, self.shift, weight, bias
        pointers = (part.data_ptr() for part in parts)
        threads = torch.get_num_threads()
        numbers = *h.shape, self.gelu
        if library().vig_norm_backward(grad.data_ptr(), h.data_ptr(), *numbers, *pointers, threads):
            raise MemoryError(f"No memory for the gradient of {h.size(1)} channels.")
        return weight, bias
