"""In-place addition of a bias, followed by GELU."""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.ops._eager import is_eager_on_gpu
from vig_pyg.ops._triton import triton_kernels
from vig_pyg.ops.checks import check_features


def bias_gelu_(h: Tensor, bias: Tensor, *, gelu: bool) -> Tensor:
    r"""Add a bias to each channel of `h`, and apply GELU if `gelu` is true, in place.

    .. math:: h_{ic} \leftarrow \mathrm{GELU}(h_{ic} + b_c)

    On a GPU this needs one pass over the features (see `_triton_bias_gelu.py`), elsewhere two passes. The function is
    not differentiable.

    Args:
        h: Features `(N, C)`, changed in place.
        bias: Bias `(C,)`.
        gelu: If true, the exact GELU is applied after the bias.

    Shapes: h `(N, C)` and bias `(C,)` to `(N, C)`.

    Returns:
        `h`.

    Raises:
        TypeError: If the features are not a dense floating-point tensor.
        ValueError: If the shape of the bias is not `(C,)`, or it is on another device.

    Example:
        >>> bias_gelu_(torch.zeros(1, 2), torch.tensor([1.0, 2.0]), gelu=False).tolist()
        [[1.0, 2.0]]
    """
    if h.device.type == "cuda" and not torch.compiler.is_compiling():
        if is_eager_on_gpu(h, bias) and not (torch.is_grad_enabled() and h.requires_grad):
            _on_gpu(h, bias, gelu)
            torch.autograd.graph.increment_version(h)  # the dispatcher would do this for a tensor that is changed
        else:
            torch.ops.vig_pyg.bias_gelu_(h, bias, gelu)
        return h
    return _plain(h, bias, gelu)


def _check(h: Tensor, bias: Tensor) -> None:
    check_features(h, "h", 2)
    if bias.shape != h.shape[1:] or bias.device != h.device:
        raise ValueError(
            f"bias must have the shape ({h.shape[1]},) on {h.device}, got {tuple(bias.shape)} on {bias.device}."
        )


def _plain(h: Tensor, bias: Tensor, gelu: bool) -> Tensor:
    _check(h, bias)
    h += bias
    return torch.ops.aten.gelu_(h) if gelu else h


def _on_gpu(h: Tensor, bias: Tensor, gelu: bool) -> None:
    kernels = triton_kernels(h.get_device())
    fits = h.dim() == 2 and h.dtype is not torch.float64 and h.is_contiguous() and bias.is_contiguous()
    if kernels is None or not fits or h.size(1) % kernels.bias_gelu.STEP:
        _plain(h, bias, gelu)
        return
    _check(h, bias)
    kernels.bias_gelu.bias_gelu_(h, bias, gelu=gelu)


def _fake(h: Tensor, bias: Tensor, gelu: bool) -> None:  # noqa: ARG001
    _check(h, bias)


torch.library.define("vig_pyg::bias_gelu_", "(Tensor(a!) h, Tensor bias, bool gelu) -> ()")
torch.library.impl("vig_pyg::bias_gelu_", "CUDA", _on_gpu)
torch.library.register_fake("vig_pyg::bias_gelu_", _fake)
