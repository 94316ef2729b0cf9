r"""Batch norm over nodes, optionally followed by GELU, for training on CPUs.

Equation: :math:`\mathrm{GELU}(\gamma\,(h - \mu) / \sigma + \beta)` with the mean and standard deviation of the batch.
Shapes: `(N, C)`, parameters `(C,)`. The forward pass reads h twice and writes once. The backward pass reads h and the
gradient twice and writes twice. Both passes need only h, because the normalized features are recomputed. Features are
float32 or bfloat16, and their gradients have the same dtype; sums, statistics and parameters are float32 or more.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from vig_pyg.ops._native import has_native_kernels, library
from vig_pyg.ops.checks import address, check_features

#: The number of channels must be a multiple of this, which is half the step of the kernels.
STEP = 8
#: Supported dtypes of the features.
DTYPES = (torch.float32, torch.bfloat16)
#: Tensor classes whose memory the kernels may access; for other classes, such as fake tensors and wrappers, torch is
#: used.
_OWN_MEMORY = (Tensor, nn.Parameter)

#: The supported batch norms. `BatchNorm2d` is applied to the cells of a feature map as nodes.
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def has_node_norm(x: Tensor, channels: int) -> bool:
    """True if the kernels support these nodes: at least two rows in float32 or bfloat16 on a CPU.

    Args:
        x: Nodes `(N, C)`.
        channels: Number of channels of the batch norm, which must be a multiple of 8.

    Shapes: x `(N, C)`.

    Example:
        >>> has_node_norm(torch.rand(9, 12), 12)
        False
    """
    shape = x.shape
    plain = x.is_cpu and x.dtype in DTYPES and len(shape) == 2 and x.is_contiguous()
    return (
        plain
        and type(x) in _OWN_MEMORY
        and channels > 0
        and channels % STEP == 0
        and shape[0] > 1
        and has_native_kernels()
    )


class NormGradients(NamedTuple):
    """Gradients of a norm's weight, bias and offset; that of the offset is 0, because the norm cancels it."""

    weight: Tensor
    bias: Tensor
    offset: Tensor


class NodeNorm:
    """One application of a batch norm in training, with the statistics of the batch.

    Args:
        mean: Mean of each channel, `(C,)`, float32, contiguous.
        variance: Biased variance of each channel, `(C,)`, float32, contiguous.
        norm: The batch norm, whose running statistics `update` changes.
        gelu: If true, GELU is applied after the batch norm.

    Shapes: features `(N, C)` to `(N, C)`; factors of the norm `(C,)`.

    Raises:
        ValueError: In each method, if a tensor has another number of channels than the norm, is not contiguous, or has
            a dtype that the kernels do not support.

    Example:
        >>> h, norm = torch.randn(9, 16), torch.nn.BatchNorm1d(16)
        >>> torch.allclose(NodeNorm.of(h, norm, gelu=True).apply(h), torch.nn.functional.gelu(norm(h)), atol=1e-5)
        True
    """

    gelu: int
    mean: Tensor
    variance: Tensor
    rate: Tensor
    scale: Tensor
    shift: Tensor
    _places: tuple[int, ...]

    @classmethod
    def of(cls, h: Tensor, norm: Norm, *, gelu: bool) -> Self:
        """Create a `NodeNorm` with the statistics of contiguous features `(N, C)` for which `has_node_norm` is true.

        Args:
            h: Features `(N, C)`.
            norm: The batch norm.
            gelu: If true, GELU is applied after the batch norm.

        Raises:
            TypeError: If the features are not a dense floating-point tensor.
            ValueError: If `has_node_norm` is false, if the norm has another number of channels, or if its weights are
                not float32 on the CPU.
        """
        if not isinstance(h, Tensor) or h.layout is not torch.strided:
            check_features(h, "h", 2)
        shape = h.shape
        plain = len(shape) == 2 and shape[0] > 1 and shape[1] == norm.num_features > 0 and shape[1] % STEP == 0
        if not plain or h.dtype not in DTYPES or not h.is_cpu or library() is None:
            raise ValueError(
                f"No kernel supports {tuple(shape)} of {h.dtype} on {h.device} for a batch norm of {norm.num_features} "
                "channels (see `has_node_norm`): call the batch norm itself."
            )
        mean, variance = (h.new_empty(shape[1], dtype=torch.float32) for _ in range(2))
        outputs = mean.data_ptr(), variance.data_ptr()
        nodes = address(h, h.dtype, shape, "h"), _is_low(h)
        if library().vig_norm_stats(*nodes, *shape, *outputs, torch.get_num_threads()):
            raise MemoryError(f"There is not enough memory for the statistics of {shape[1]} channels.")
        step = cls.__new__(cls)
        step._set(mean, variance, norm, outputs[0], gelu)
        return step

    def __init__(self, mean: Tensor, variance: Tensor, norm: Norm, *, gelu: bool) -> None:
        shape = (norm.num_features,)
        address(variance, torch.float32, shape, "variance")
        self._set(mean, variance, norm, address(mean, torch.float32, shape, "mean"), gelu)

    def _set(self, mean: Tensor, variance: Tensor, norm: Norm, place: int, gelu: bool) -> None:
        weight = norm.weight
        if weight is None:
            raise ValueError("The kernel needs a batch norm with weights (affine=True).")
        rate = (variance + norm.eps).rsqrt()
        scale = weight.detach() * rate
        shift = norm.bias.detach() - mean * scale
        # Valid factors have this shape and dtype; `address` raises an error for others.
        shape, kind = mean.shape, torch.float32
        if not (scale.shape == shift.shape == shape and scale.dtype is shift.dtype is kind and shift.is_cpu):
            address(scale, kind, shape, "weight of the norm")
            address(shift, kind, shape, "bias of the norm")
        places = place, rate.data_ptr(), scale.data_ptr(), shift.data_ptr()
        factors = {"mean": mean, "variance": variance, "rate": rate, "scale": scale, "shift": shift}
        self.__dict__.update(factors, gelu=int(gelu), _places=places)

    def __setattr__(self, name: str, value: object) -> None:
        """Raise an error, because native code reads the factors at the addresses that were checked."""
        raise AttributeError(f"{name} of a NodeNorm cannot be set: change it in place, or create another one.")

    def __reduce__(self) -> str:
        """Raise an error, because a copy would read the memory of the original."""
        raise TypeError("A NodeNorm cannot be copied: create another one.")

    def update(self, norm: Norm, rows: int, offset: Tensor) -> None:
        """Update the running statistics as torch's batch norm of `h + offset` does.

        Args:
            norm: The batch norm, which is changed.
            rows: Number of nodes N.
            offset: Bias of the previous layer that was not added to h, `(C,)`.
        """
        assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
        norm.running_mean.lerp_(self.mean + offset.detach(), norm.momentum)
        norm.running_var.lerp_(self.variance * (rows / (rows - 1)), norm.momentum)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1

    def apply(self, h: Tensor, out: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
        """Write the normalized features, with GELU if `gelu` is true, plus a residual, to `out`, and return it.

        Args:
            h: Features `(N, C)`.
            out: Result `(N, C)`, which may be `h`; by default a new tensor in the dtype of h, or of the residual.
            residual: Nodes `(N, C)` in the dtype of the result, which is float32 if h is.
        """
        shape = self._shape(h)
        out = torch.empty_like(h if residual is None else residual) if out is None else out
        kind = out.dtype if h.dtype is torch.bfloat16 and out.dtype in DTYPES else h.dtype
        nodes, results = address(h, h.dtype, shape, "h"), address(out, kind, shape, "out")
        added = None if residual is None else address(residual, kind, shape, "residual")
        inputs = nodes, _is_low(h), *shape, self.gelu, *self._places[2:], added
        library().vig_norm_apply(*inputs, results, _is_low(out), torch.get_num_threads())
        return out

    def apply_with_slope_(self, h: Tensor, out: Tensor) -> None:
        """Write the normalized features with GELU to `out`, and the derivative of GELU at these values to `h`.

        Args:
            h: Features `(N, C)` in float32, changed in place.
            out: Result `(N, C)`.
        """
        shape = self._shape(h)
        nodes, results = address(h, torch.float32, shape, "h"), address(out, torch.float32, shape, "out")
        library().vig_norm_slope(nodes, *shape, *self._places[2:], results, torch.get_num_threads())

    def backward_(self, grad: Tensor, h: Tensor) -> NormGradients:
        """Turn the gradient of the result into the gradient of `h`, in place; return those of weight, bias and offset.

        Args:
            grad: Gradient of the result `(N, C)`, changed in place; it has the dtype of h.
            h: Features `(N, C)`, or the derivative of GELU from `apply_with_slope_`.

        Raises:
            MemoryError: If there is not enough memory.
        """
        return self._backward_into(grad, grad, h)

    def backward(self, grad: Tensor, h: Tensor) -> tuple[Tensor, NormGradients]:
        """Return the gradients of `h` (in its dtype), and of weight, bias and offset; `grad` is not changed.

        Args:
            grad: Gradient of the result `(N, C)`, in the dtype of h, or in float32.
            h: Features `(N, C)`.

        Raises:
            MemoryError: If there is not enough memory.
        """
        out = torch.empty_like(h)
        return out, self._backward_into(out, grad.contiguous(), h)

    def _backward_into(self, out: Tensor, grad: Tensor, h: Tensor) -> NormGradients:
        shape = self._shape(h)
        kind = torch.float32 if isinstance(grad, Tensor) and grad.dtype is torch.float32 else h.dtype
        inputs = address(grad, kind, shape, "grad"), _is_low(grad), address(h, h.dtype, shape, "h"), _is_low(h)
        weight, bias = (h.new_empty(shape[1], dtype=torch.float32) for _ in range(2))
        outputs = address(out, h.dtype, shape, "out"), weight.data_ptr(), bias.data_ptr()
        factors = *shape, self.gelu, *self._places
        if library().vig_norm_backward(*inputs, *factors, *outputs, torch.get_num_threads()):
            raise MemoryError(f"There is not enough memory for the gradient of {shape[1]} channels.")
        return NormGradients(weight, bias, torch.zeros_like(bias))

    def _shape(self, h: Tensor) -> tuple[int, int]:
        if not isinstance(h, Tensor) or h.layout is not torch.strided:
            check_features(h, "h", 2)
        shape, channels = h.shape, self.mean.shape[0]
        fits = len(shape) == 2 and shape[1] == channels and shape[0] >= 1 and channels % STEP == 0
        if not fits or h.dtype not in DTYPES or library() is None:
            raise ValueError(
                f"The kernel needs at least one node of {channels} channels in float32 or bfloat16, got {tuple(shape)} "
                f"of {h.dtype}."
            )
        return shape[0], channels


def _is_low(h: Tensor) -> int:
    """Return 1 for features in bfloat16, as the kernels expect it, otherwise 0."""
    return int(h.dtype is torch.bfloat16)
