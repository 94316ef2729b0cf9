r"""Max-relative aggregation: native kernels for CPUs and GPUs.

Equation: :math:`[x_{i1}, m_{i1}, x_{i2}, m_{i2}, \dots]` with :math:`m_{ic} = \max_{j \in N(i)} y_{jc} - x_{ic}`, or 0
for a target without neighbors. Shapes: sources y `(M, C)`, targets x `(N, C)`, result `(N, 2 C)`.

Each neighbor is read once, and the result is written once. For the backward pass, the neighbor that attains the maximum
is stored: on a CPU as its position among the edges of the target (one byte), on a GPU as its node index (four bytes).
If several neighbors attain the maximum, the first one in the order of the edges receives the gradient, on every device.
The GPU kernel is described in `_triton_max_relative.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vig_pyg.ops._exporting import is_exporting
from vig_pyg.ops._max_relative_samples import backward_rule, forward_rule
from vig_pyg.ops._native import has_native_kernels, library
from vig_pyg.ops._transforms import transformable
from vig_pyg.ops._triton import TritonKernels, has_triton_kernels, triton_kernels
from vig_pyg.ops.checks import address, check_features, check_same, checked_edges
from vig_pyg.ops.rows import gpu_edges, plain_rows, sorted_edges

#: Number of channels per step of the kernel, and the smallest supported width.
LEAST_CHANNELS = 16
_FLOATS = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.bfloat16, torch.float16)}


def has_max_relative(x_src: Tensor, x_dst: Tensor) -> bool:
    """True if a native kernel supports these features: 16 or more channels, in float32, bfloat16, or (GPU) float16.

    The GPU kernel sums gradients in no fixed order, so it is not used if `torch.use_deterministic_algorithms` is on.

    Args:
        x_src: Sources `(M, C)`.
        x_dst: Targets `(N, C)`.

    Shapes: sources `(M, C)` and targets `(N, C)`.

    Example:
        >>> has_max_relative(torch.rand(9, 8), torch.rand(9, 8))
        False
    """
    dtype = x_src.dtype
    if dtype is not x_dst.dtype or x_src.shape[1] < LEAST_CHANNELS:
        return False
    if x_src.is_cpu:
        return dtype in _FLOATS["cpu"] and has_native_kernels()
    if x_src.device.type != "cuda" or torch.are_deterministic_algorithms_enabled():
        return False
    return dtype in _FLOATS["cuda"] and has_triton_kernels(x_src.device)


def max_relative(x_src: Tensor, x_dst: Tensor, edge_index: Tensor, *, by_target: bool = False) -> Tensor:
    """Interleave each target with the channel-wise maximum of the differences to its neighbors.

    Args:
        x_src: Sources `(M, C)` for which `has_max_relative` is true.
        x_dst: Targets `(N, C)`.
        edge_index: Edges `(2, E)`: sources in row 0, targets in row 1. Edges sorted by target are the fastest.
        by_target: If true, the edges are known to be in range and sorted by target. On a GPU this skips a check that
            synchronizes the device. (Other edges then give wrong results or NaN, but no invalid memory access.)

    Shapes: sources `(M, C)`, targets `(N, C)` and edges `(2, E)` to `(N, 2 C)`.

    Returns:
        The features in the order `x_0, m_0, x_1, m_1, ...`.

    Raises:
        TypeError: If the features are not floating-point, or the edges are not int64 or int32.
        ValueError: If `has_max_relative` is false for the features, or a shape or device does not match.
        IndexError: If an index is out of range.
        TooManyNeighborsError: If gradients are required and, on a CPU, a target has more than 256 neighbors.

    Example:
        >>> x = torch.arange(32.0).view(2, 16); max_relative(x, x, torch.tensor([[1, 0], [0, 1]]))[0, :4].tolist()
        [0.0, 16.0, 1.0, 16.0]
    """
    if is_exporting() or not (isinstance(x_src, Tensor) and isinstance(x_dst, Tensor)):
        _check_nodes(x_src, x_dst)
        return _exported(x_src, x_dst, checked_edges(edge_index, x_dst.device))
    winners = torch.is_grad_enabled() and (x_src.requires_grad or x_dst.requires_grad)
    out: Tensor = _max_relative(x_src, x_dst, edge_index, winners, by_target)[0]
    return out


def _check_nodes(x_src: Any, x_dst: Any) -> None:
    for part, name in ((x_src, "x_src"), (x_dst, "x_dst")):
        if not isinstance(part, Tensor):
            check_features(part, name, 2)
    shapes = x_src.shape, x_dst.shape
    fit = len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][1] == shapes[1][1] and x_src.device == x_dst.device
    if fit and has_max_relative(x_src, x_dst):
        return
    check_features(x_src, "x_src", 2)
    check_features(x_dst, "x_dst", 2)
    check_same(x_src, x_dst, "Sources and targets")
    if x_src.size(1) != x_dst.size(1):
        raise ValueError(f"Sources and targets differ in width: {tuple(x_src.shape)} and {tuple(x_dst.shape)}.")
    if x_src.device.type != "meta":
        raise ValueError(
            f"No kernel supports {tuple(x_src.shape)} of {x_src.dtype} on {x_src.device} (see `has_max_relative`): "
            "vig_pyg.conv.MaxRelativeConv accepts all features."
        )


def _check_winners(grad: Any, slots: Any, num_src: int) -> None:
    check_features(grad, "grad", 2)
    if not isinstance(slots, Tensor):
        raise TypeError(f"slots must be a tensor, as `max_relative` returns them, got {type(slots).__name__}.")
    kind = torch.uint8 if grad.is_cpu else torch.int32
    if slots.dtype != kind or slots.dim() != 2 or slots.device != grad.device:
        raise ValueError(
            f"slots must be a tensor (N, C) of {kind} on {grad.device}, as `max_relative` returns them, got "
            f"{tuple(slots.shape)} of {slots.dtype} on {slots.device}."
        )
    expected = slots.shape[0], 2 * slots.shape[1]
    if grad.shape != expected or num_src < 0:
        raise ValueError(
            f"grad must have the shape {expected} of these slots, and num_src must be at least 0, got "
            f"{tuple(grad.shape)} and {num_src}."
        )


def _exported(x_src: Tensor, x_dst: Tensor, edge_index: Tensor) -> Tensor:
    """Compute the same result with operators that every ONNX runtime supports."""
    source, target = edge_index
    lowest = torch.full_like(x_dst, -torch.inf)
    largest = lowest.scatter_reduce(0, target.unsqueeze(1).expand(-1, x_dst.size(1)), x_src[source], "amax")
    relative = (largest - x_dst).masked_fill(largest.isinf(), 0)
    return torch.stack([x_dst, relative], dim=2).flatten(1)  # (N, C, 2) -> (N, 2 C)


def _forward(
    x_src: Tensor,
    x_dst: Tensor,
    edge_index: Tensor,
    winners: bool,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    _check_nodes(x_src, x_dst)
    (m, channels), (n, _), dtype = x_src.shape, x_dst.shape, x_src.dtype
    x_src, x_dst = x_src.contiguous(), x_dst.contiguous()
    features = address(x_src, dtype, (m, channels), "x_src"), address(x_dst, dtype, (n, channels), "x_dst")
    edges, first = sorted_edges(edge_index, m, n, slots=winners)
    out = x_dst.new_empty(n, 2 * channels)
    slots = x_dst.new_empty(n if winners else 0, channels, dtype=torch.uint8)
    kept = slots.data_ptr() if winners else None
    inputs = *features, edges.data_ptr(), first.data_ptr(), n, m, channels, int(dtype == torch.bfloat16)
    library().vig_max_relative(*inputs, out.data_ptr(), kept, torch.get_num_threads())
    return out, slots


def _backward(
    grad: Tensor,
    edge_index: Tensor,
    slots: Tensor,
    num_src: int,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    _check_winners(grad, slots, num_src)
    kernels = library()
    if kernels is None:
        raise RuntimeError("vig_pyg was installed without its native kernels: install it again with a C compiler.")
    n, channels = slots.shape
    edges, first = sorted_edges(edge_index, num_src, n, slots=True)
    wide, slots = grad.float().contiguous(), slots.contiguous()  # gradients are summed in float32
    read = address(wide, torch.float32, (n, 2 * channels), "grad"), edges.data_ptr(), first.data_ptr()
    inputs = *read, address(slots, torch.uint8, (n, channels), "slots"), n, channels
    grad_src, grad_dst = wide.new_zeros(num_src, channels), wide.new_zeros(n, channels)
    outputs = grad_src.data_ptr(), grad_dst.data_ptr()
    if kernels.vig_max_relative_backward(*inputs, *outputs, torch.get_num_threads()):
        raise IndexError("slots refer to neighbors that some targets do not have: pass the slots of the same edges.")
    return grad_src.to(grad.dtype), grad_dst.to(grad.dtype)


def _gpu(x: Tensor) -> TritonKernels:
    kernels = triton_kernels(x.get_device())
    assert kernels is not None  # `has_max_relative` has checked this
    return kernels


def _forward_gpu(
    x_src: Tensor, x_dst: Tensor, edge_index: Tensor, winners: bool, by_target: bool
) -> tuple[Tensor, Tensor]:
    _check_nodes(x_src, x_dst)
    edge_index = checked_edges(edge_index, x_dst.device)
    edges = gpu_edges(edge_index, x_src.size(0), x_dst.size(0), by_target)
    found: tuple[Tensor, Tensor] = _gpu(x_dst).gather.gather_max(x_src, x_dst, edges, winners=winners)
    return found


def _backward_gpu(
    grad: Tensor,
    edge_index: Tensor,  # noqa: ARG001  (the slots are the sources themselves)
    slots: Tensor,
    num_src: int,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    _check_winners(grad, slots, num_src)
    found: tuple[Tensor, Tensor] = _gpu(grad).scatter.scatter_winners(
        grad, slots.contiguous(), num_src, in_order=torch.are_deterministic_algorithms_enabled()
    )
    return found


def _fake_forward(
    x_src: Tensor,
    x_dst: Tensor,
    edge_index: Tensor,
    winners: bool,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    _check_nodes(x_src, x_dst)
    checked_edges(edge_index, x_dst.device)
    n, channels = x_dst.shape
    slots = x_dst.new_empty(n if winners else 0, channels, dtype=torch.uint8 if x_dst.is_cpu else torch.int32)
    return x_dst.new_empty(n, 2 * channels), slots


def _fake_backward(
    grad: Tensor,
    edge_index: Tensor,
    slots: Tensor,
    num_src: int,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    _check_winners(grad, slots, num_src)
    checked_edges(edge_index, grad.device)
    return grad.new_empty(num_src, slots.size(1)), grad.new_empty(slots.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x_src, _, edge_index, _, ctx.by_target = inputs
    ctx.save_for_backward(edge_index, output[1])
    ctx.num_src = x_src.size(0)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    edge_index, slots = ctx.saved_tensors
    found = _max_relative_backward(grad, edge_index, slots, ctx.num_src, ctx.by_target)
    return *found, None, None, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG001
    _, edge_index, slots, ctx.num_src, _ = inputs
    ctx.save_for_backward(edge_index, slots)


def _gradients_of_backward(ctx: Any, to_src: Tensor, to_dst: Tensor) -> tuple[Tensor | None, ...]:
    """Compute the derivative of the backward pass; it is linear, so its derivative gathers what it scattered."""
    edge_index, slots = ctx.saved_tensors
    won = slots >= 0
    source = slots.long().clamp_min(0)
    if slots.dtype is torch.uint8:  # positions among the edges of each target
        edges, first = plain_rows(edge_index, slots.size(0))
        won = first.diff().gt(0).unsqueeze(1).expand_as(slots)
        source = edges[0][torch.where(won, first[:-1].unsqueeze(1) + slots, 0)] if edges.numel() else source * 0
    relative = to_src.gather(0, source) - to_dst if len(to_src) else torch.zeros_like(to_dst)
    relative = relative.masked_fill(~won, 0)
    return torch.stack([to_dst, relative], dim=2).flatten(1), None, None, None, None  # (N, C, 2) -> (N, 2 C)


_NODES = "Tensor x_src, Tensor x_dst, Tensor edge_index, bool winners, bool by_target"
_WINNERS = "Tensor grad, Tensor edge_index, Tensor slots, SymInt num_src, bool by_target"
torch.library.define("vig_pyg::max_relative", f"({_NODES}) -> (Tensor, Tensor)")
torch.library.define("vig_pyg::max_relative_backward", f"({_WINNERS}) -> (Tensor, Tensor)")
torch.library.impl("vig_pyg::max_relative", "CPU", _forward)
torch.library.impl("vig_pyg::max_relative", "CUDA", _forward_gpu)
torch.library.impl("vig_pyg::max_relative_backward", "CPU", _backward)
torch.library.impl("vig_pyg::max_relative_backward", "CUDA", _backward_gpu)
torch.library.register_fake("vig_pyg::max_relative", _fake_forward)
torch.library.register_fake("vig_pyg::max_relative_backward", _fake_backward)
torch.library.register_autograd("vig_pyg::max_relative", _gradients, setup_context=_setup)
torch.library.register_autograd("vig_pyg::max_relative_backward", _gradients_of_backward, setup_context=_setup_backward)

_max_relative = transformable(torch.ops.vig_pyg.max_relative, forward_rule, setup=_setup, gradients=_gradients)
_max_relative_backward = transformable(
    torch.ops.vig_pyg.max_relative_backward,
    backward_rule,
    setup=_setup_backward,
    gradients=_gradients_of_backward,
)
