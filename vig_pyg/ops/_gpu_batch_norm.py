"""Batch norm over nodes, optionally followed by GELU, for training on GPUs: custom operators for the Triton kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg.ops._batch_norm import NormGradients
from vig_pyg.ops._eager import is_eager_on_gpu
from vig_pyg.ops._triton import has_triton_kernels, triton_kernels

#: Supported feature dtypes, and a number that must divide the number of channels.
_FLOATS, _STEP = (torch.float32, torch.bfloat16, torch.float16), 8


def has_gpu_norm(x: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    """True if the kernels support nodes `(N, C)`: several rows on a GPU, with a multiple of 8 channels."""
    channels, weight = norm.num_features, norm.weight
    return (
        x.device.type == "cuda"
        and x.dim() == 2
        and x.size(0) > 1
        and channels % _STEP == 0
        and x.dtype in _FLOATS
        and weight.dtype is torch.float32
        and weight.device == x.device
        and norm.num_batches_tracked is not None
        and norm.num_batches_tracked.device == x.device
        and has_triton_kernels(x.device)
    )


class GPUNorm:
    """One application of a batch norm in training on a GPU, with batch statistics; it updates the running statistics.

    Args:
        h: Features `(N, C)`, contiguous.
        offset: Bias of the previous layer that was not added to h; it changes only the running mean.
    """

    def __init__(self, h: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d, offset: Tensor | None, *, gelu: bool) -> None:
        mean, variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
        assert norm.momentum is not None
        assert mean is not None and variance is not None and batches is not None  # `has_gpu_norm` has checked this
        self.gelu = gelu
        tensors = h, norm.weight, norm.bias, offset, mean, variance, batches
        if is_eager_on_gpu(h, norm.weight, norm.bias, mean, variance, batches):
            self.factors: Tensor = _statistics(*tensors, norm.momentum, norm.eps)
            # the dispatcher would do this for tensors that are changed
            torch.autograd.graph.increment_version((mean, variance, batches))
        else:
            self.factors = torch.ops.vig_pyg.norm_statistics(*tensors, norm.momentum, norm.eps)

    def apply(self, h: Tensor, out: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
        """Write the normalized features, with GELU if `gelu` is true, plus a residual, to `out`, which may be `h`."""
        out = torch.empty_like(h) if out is None else out
        apply: Any = _apply if is_eager_on_gpu(h, out) else torch.ops.vig_pyg.norm_apply
        apply(h, self.factors, out, self.gelu, residual)
        return out

    def backward_(self, grad: Tensor, h: Tensor) -> NormGradients:
        """Turn the gradient of the result into the gradient of `h`; return those of weight, bias and offset."""
        return self._backward_into(grad, grad, h)

    def backward(self, grad: Tensor, h: Tensor) -> tuple[Tensor, NormGradients]:
        """Return the gradients of `h`, and of weight, bias and offset; `grad` is not changed."""
        out = torch.empty_like(h)
        return out, self._backward_into(out, grad.contiguous(), h)

    def _backward_into(self, out: Tensor, grad: Tensor, h: Tensor) -> NormGradients:
        backward: Any = _backward if is_eager_on_gpu(grad, h) else torch.ops.vig_pyg.norm_backward
        totals: Tensor = backward(grad, h, self.factors, out, self.gelu)
        bias, weight, offset = totals.unbind()
        return NormGradients(weight, bias, offset)


def _statistics(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    offset: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
    momentum: float,
    eps: float,
) -> Tensor:
    _check(h)
    channels = h.shape[1:]
    for part in (weight, bias, running_mean, running_var, *(() if offset is None else (offset,))):
        if part.shape != channels or not part.is_contiguous() or part.device != h.device:
            raise ValueError(
                f"A batch norm of features {tuple(h.shape)} needs contiguous vectors ({h.shape[1]},) on {h.device}, "
                f"got {tuple(part.shape)} on {part.device}."
            )
    running = running_mean, running_var, batches
    if batches.numel() != 1 or batches.device != h.device:
        raise ValueError(
            f"The number of batches of a norm must be one number on {h.device}, got {tuple(batches.shape)} on "
            f"{batches.device}."
        )
    found: Tensor = _kernels(h).statistics(h, weight, bias, offset, running, momentum, eps)
    return found


def _apply(h: Tensor, factors: Tensor, out: Tensor, gelu: bool, residual: Tensor | None = None) -> None:
    _check(h)
    _check_factors(h, factors, out)
    if residual is not None:
        _check_factors(h, factors, residual)
    _kernels(h).apply(h, factors, out, residual, gelu=gelu)


def _backward(grad: Tensor, h: Tensor, factors: Tensor, out: Tensor, gelu: bool) -> Tensor:
    _check(h)
    _check_factors(h, factors, grad)
    _check_factors(h, factors, out)
    found: Tensor = _kernels(h).backward(grad, h, factors, out, gelu=gelu)
    return found


def _check(h: Tensor) -> None:
    fits = h.dim() == 2 and h.size(0) > 1 and h.size(1) % _STEP == 0 and h.size(1) > 0 and h.dtype in _FLOATS
    if not fits or not h.is_contiguous():
        raise ValueError(
            f"The kernels need at least two contiguous nodes (N, C) with C a multiple of {_STEP} in float32, "
            f"bfloat16 or float16, got {tuple(h.shape)} of {h.dtype} with strides {h.stride()}."
        )


def _check_factors(h: Tensor, factors: Tensor, other: Tensor) -> None:
    fits = factors.shape == (4, h.size(1)) and factors.dtype is torch.float32 and factors.is_contiguous()
    same = other.shape == h.shape and other.is_contiguous() and factors.device == other.device == h.device
    if not fits or not same or other.dtype not in _FLOATS:
        raise ValueError(
            f"Features {tuple(h.shape)} need contiguous float32 factors (4, {h.size(1)}) and a result of their "
            f"shape, got {tuple(factors.shape)} of {factors.dtype} and {tuple(other.shape)} of {other.dtype}."
        )


def _kernels(h: Tensor) -> Any:
    kernels = triton_kernels(h.get_device())
    assert kernels is not None  # `has_gpu_norm` has checked this
    return kernels.batch_norm


def _fake_statistics(h: Tensor, *_: object) -> Tensor:
    _check(h)
    return torch.empty(4, h.size(1), dtype=torch.float32, device=h.device)


def _fake_apply(h: Tensor, factors: Tensor, out: Tensor, gelu: bool, residual: Tensor | None = None) -> None:  # noqa: ARG001
    _check_factors(h, factors, out)
    if residual is not None:
        _check_factors(h, factors, residual)


def _fake_backward(grad: Tensor, h: Tensor, factors: Tensor, out: Tensor, gelu: bool) -> Tensor:  # noqa: ARG001
    _check_factors(h, factors, grad)
    _check_factors(h, factors, out)
    return torch.empty(3, h.size(1), dtype=torch.float32, device=h.device)


_RUNNING = "Tensor(a!) running_mean, Tensor(b!) running_var, Tensor(c!) batches, float momentum, float eps"
torch.library.define(
    "vig_pyg::norm_statistics", f"(Tensor h, Tensor weight, Tensor bias, Tensor? offset, {_RUNNING}) -> Tensor"
)
torch.library.define(
    "vig_pyg::norm_apply", "(Tensor h, Tensor factors, Tensor(a!) out, bool gelu, Tensor? residual=None) -> ()"
)
torch.library.define(
    "vig_pyg::norm_backward", "(Tensor grad, Tensor h, Tensor factors, Tensor(a!) out, bool gelu) -> Tensor"
)
torch.library.impl("vig_pyg::norm_statistics", "CUDA", _statistics)
torch.library.impl("vig_pyg::norm_apply", "CUDA", _apply)
torch.library.impl("vig_pyg::norm_backward", "CUDA", _backward)
torch.library.register_fake("vig_pyg::norm_statistics", _fake_statistics)
torch.library.register_fake("vig_pyg::norm_apply", _fake_apply)
torch.library.register_fake("vig_pyg::norm_backward", _fake_backward)
