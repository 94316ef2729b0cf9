r"""Triton kernel that adds a bias to the features of nodes and applies GELU, in place.

Equation: :math:`h_{ic} \leftarrow \mathrm{GELU}(h_{ic} + b_c)`, or without GELU. Shapes: h `(N, C)` contiguous,
b `(C,)`. The kernel reads and writes h once; the arithmetic is in float32, with the exact GELU.

In half precision, eight channels are one memory access of 16 bytes, and the channel index is computed once for all
eight.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from vig_pyg.ops._triton_launch import launch

#: The channels must be a multiple of this.
STEP = 8
#: Groups of eight elements per program.
_GROUPS = 256


def bias_gelu_(h: Tensor, bias: Tensor, *, gelu: bool) -> None:
    """Add the bias to h in place, and apply GELU if `gelu` is true.

    Args:
        h: Features `(N, C)`, contiguous, C a multiple of `STEP`.
        bias: `(C,)`, contiguous.
        gelu: If true, GELU is applied after the bias.

    Raises:
        ValueError: If shapes or strides do not fit.
    """
    n, channels = h.shape
    if channels % STEP or bias.shape != (channels,) or not (h.is_contiguous() and bias.is_contiguous()):
        raise ValueError(
            f"The kernel needs contiguous features (N, C) with C a multiple of {STEP}, and a bias (C,), got "
            f"{tuple(h.shape)} with strides {h.stride()} and {tuple(bias.shape)}."
        )
    groups = n * (channels // STEP)
    if groups:
        constants = {"GELU": gelu, "GROUPS": _GROUPS}
        launch(_bias_gelu, (triton.cdiv(groups, _GROUPS),), (h, bias, groups, channels // STEP), constants)


@triton.jit
def gelu_of(x):
    """The exact GELU, in float32."""
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit(do_not_specialize=["groups"])
def _bias_gelu(h_ptr, bias_ptr, groups, groups_a_row, GELU: tl.constexpr, GROUPS: tl.constexpr):
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    lane = tl.arange(0, 8)[None, :]
    here = (group < groups)[:, None]
    at = h_ptr + group[:, None] * 8 + lane
    h = tl.load(at, here, 0.0).to(tl.float32)
    h += tl.load(bias_ptr + (group % groups_a_row)[:, None] * 8 + lane, here, 0.0).to(tl.float32)
    tl.store(at, gelu_of(h) if GELU else h, here)
