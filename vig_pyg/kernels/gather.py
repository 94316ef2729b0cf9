r"""Each target beside its largest difference to a neighbour: native kernels for processors and GPUs.

Equation: :math:`[x_{i1}, m_{i1}, x_{i2}, m_{i2}, \dots]` with :math:`m_{ic} = \max_{j \in N(i)} y_{jc} - x_{ic}`, 0
without neighbours. Shapes: sources y `(M, C)`, targets x `(N, C)`, result `(N, 2 C)`. It reads each neighbour once and
writes the result once; for the backward pass it keeps which neighbour won, a byte a channel (two on a GPU). For the
GPU see `triton_gather.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vig_pyg.kernels._native import has_native_kernels, library
from vig_pyg.kernels._triton import has_triton_kernels, triton_kernels

#: Channels that one step of the kernel handles.
LEAST_CHANNELS = 16
#: Neighbours of one target that a byte can tell apart.
MOST_NEIGHBORS = 256
_FLOATS = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.bfloat16, torch.float16)}
_SLOTS = {"cpu": torch.uint8}


class TooManyNeighborsError(ValueError):
    """A target has more neighbours than the kernel can tell apart for its gradient."""


def has_max_relative(x_src: Tensor, x_dst: Tensor) -> bool:
    """Whether a kernel takes these features: 16 channels at least, in float32 or bfloat16, on a GPU float16 too.

    The kernel for GPUs adds gradients in any order; where torch is told to be deterministic, the plain way is taken.
    """
    device = x_src.device.type
    if device == "cuda" and torch.are_deterministic_algorithms_enabled():
        return False
    return (
        x_src.dtype == x_dst.dtype
        and x_src.dtype in _FLOATS.get(device, ())
        and x_src.size(1) >= LEAST_CHANNELS
        and (has_native_kernels() if device == "cpu" else has_triton_kernels())
    )


def max_relative(x_src: Tensor, x_dst: Tensor, edge_index: Tensor, *, by_target: bool = False) -> Tensor:
    """Each target beside its largest difference to a neighbour, channel by channel.

    Args:
        x_src: Sources `(M, C)` that `has_max_relative` accepts.
        x_dst: Targets `(N, C)`.
        edge_index: `(2, E)`, sources and targets; fastest where sorted by target.
        by_target: That they are sorted by target is sure: on a GPU this saves a check for which the processor waits.
            (Where it is not so, an assertion on the GPU stops the program.)

    Returns:
        `(N, 2 C)`: `x_0, m_0, x_1, m_1, ...`.

    Raises:
        IndexError: If an index is out of range.
        TooManyNeighborsError: If gradients are asked for and, on a processor, a target has more than 256 neighbours.

    Example:
        >>> x = torch.arange(32.0).view(2, 16); max_relative(x, x, torch.tensor([[1, 0], [0, 1]]))[0, :4].tolist()
        [0.0, 16.0, 1.0, 16.0]
    """
    if torch.compiler.is_exporting():
        return _exported(x_src, x_dst, edge_index)
    winners = torch.is_grad_enabled() and (x_src.requires_grad or x_dst.requires_grad)
    out: Tensor = torch.ops.vig_pyg.max_relative(x_src, x_dst, edge_index, winners, by_target)[0]
    return out


def _exported(x_src: Tensor, x_dst: Tensor, edge_index: Tensor) -> Tensor:
    """The same in operators that every runtime knows."""
    source, target = edge_index
    lowest = torch.full_like(x_dst, -torch.inf)
    largest = lowest.scatter_reduce(0, target.unsqueeze(1).expand(-1, x_dst.size(1)), x_src[source], "amax")
    relative = (largest - x_dst).masked_fill(largest.isinf(), 0)
    return torch.stack([x_dst, relative], dim=2).flatten(1)  # (N, C, 2) -> (N, 2 C)


def _rows(edge_index: Tensor, num_src: int, num_dst: int, *, slots: bool) -> tuple[Tensor, Tensor]:
    """Sources sorted by target, and the first edge of each target."""
    source, target = edge_index.contiguous()
    first = torch.empty(num_dst + 1, dtype=torch.long)

    def code() -> int:
        pointers = source.data_ptr(), target.data_ptr()
        numbers = source.numel(), num_src, num_dst
        return int(library().vig_first_edges(*pointers, *numbers, first.data_ptr(), torch.get_num_threads()))

    found = code()
    if found == 1:
        target, order = target.sort(stable=True)
        source = source[order]
        found = code()
    if found == 2:
        raise IndexError(f"edge_index must hold sources below {num_src} and targets below {num_dst}, from 0 on.")
    if found == 3 and slots:
        raise TooManyNeighborsError(
            f"A node has more than {MOST_NEIGHBORS} neighbours: set `fuse = False` on the operator to train."
        )
    return source, first


def _forward(
    x_src: Tensor,
    x_dst: Tensor,
    edge_index: Tensor,
    winners: bool,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    x_src, x_dst = x_src.contiguous(), x_dst.contiguous()
    n, channels = x_dst.shape
    source, first = _rows(edge_index, x_src.size(0), n, slots=winners)
    out = x_dst.new_empty(n, 2 * channels)
    slots = torch.empty(n if winners else 0, channels, dtype=torch.uint8)
    inputs = (part.data_ptr() for part in (x_src, x_dst, source, first))
    half = int(x_src.dtype == torch.bfloat16)
    kept = slots.data_ptr() if winners else None
    library().vig_max_relative(*inputs, n, channels, half, out.data_ptr(), kept, torch.get_num_threads())
    return out, slots


def _backward(
    grad: Tensor,
    edge_index: Tensor,
    slots: Tensor,
    num_src: int,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    n, channels = slots.shape
    source, first = _rows(edge_index, num_src, n, slots=True)
    wide = grad.float().contiguous()  # sums in float32
    grad_src, grad_dst = torch.zeros(num_src, channels), torch.zeros(n, channels)
    inputs = (part.data_ptr() for part in (wide, source, first, slots))
    outputs = grad_src.data_ptr(), grad_dst.data_ptr()
    library().vig_max_relative_backward(*inputs, n, channels, *outputs, torch.get_num_threads())
    return grad_src.to(grad.dtype), grad_dst.to(grad.dtype)


def _gpu_rows(edge_index: Tensor, num_src: int, num_dst: int, by_target: bool) -> tuple[Tensor, Tensor]:
    """As `_rows`, without making the processor wait where the order is sure."""
    source, target = edge_index.contiguous()
    in_order = (target[1:] >= target[:-1]).all()
    if by_target:
        torch._assert_async(in_order, "The edges are not sorted by target, as a graph builder must return them.")
    elif not in_order:
        target, order = target.sort(stable=True)
        source = source[order]
    if not by_target and edge_index.numel():
        low, high = torch.stack([source, target]).aminmax(dim=1)
        if bool((low < 0).any()) or bool((high >= torch.tensor([num_src, num_dst], device=high.device)).any()):
            raise IndexError(f"edge_index must hold sources below {num_src} and targets below {num_dst}, from 0 on.")
    return source, torch.searchsorted(target, torch.arange(num_dst + 1, device=target.device))


def _gpu() -> Any:
    kernels = triton_kernels()
    assert kernels is not None  # `has_max_relative` has looked
    return kernels.gather


def _forward_gpu(
    x_src: Tensor, x_dst: Tensor, edge_index: Tensor, winners: bool, by_target: bool
) -> tuple[Tensor, Tensor]:
    source, first = _gpu_rows(edge_index, x_src.size(0), x_dst.size(0), by_target)
    found: tuple[Tensor, Tensor] = _gpu().gather_max(x_src, x_dst, source, first, winners=winners)
    return found


def _backward_gpu(
    grad: Tensor, edge_index: Tensor, slots: Tensor, num_src: int, by_target: bool
) -> tuple[Tensor, Tensor]:
    source, first = _gpu_rows(edge_index, num_src, slots.size(0), by_target)
    found: tuple[Tensor, Tensor] = _gpu().scatter_winners(grad, source, first, slots, num_src)
    return found


def _fake_forward(
    x_src: Tensor,  # noqa: ARG001
    x_dst: Tensor,
    edge_index: Tensor,  # noqa: ARG001
    winners: bool,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    n, channels = x_dst.shape
    slots = x_dst.new_empty(n if winners else 0, channels, dtype=_SLOTS.get(x_dst.device.type, torch.int16))
    return x_dst.new_empty(n, 2 * channels), slots


def _fake_backward(
    grad: Tensor,
    edge_index: Tensor,  # noqa: ARG001
    slots: Tensor,
    num_src: int,
    by_target: bool,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return grad.new_empty(num_src, slots.size(1)), grad.new_empty(slots.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x_src, _, edge_index, _, ctx.by_target = inputs
    ctx.save_for_backward(edge_index, output[1])
    ctx.num_src = x_src.size(0)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    edge_index, slots = ctx.saved_tensors
    found = torch.ops.vig_pyg.max_relative_backward(grad, edge_index, slots, ctx.num_src, ctx.by_target)
    return *found, None, None, None


_NODES = "Tensor x_src, Tensor x_dst, Tensor edge_index, bool winners, bool by_target"
_WINNERS = "Tensor grad, Tensor edge_index, Tensor slots, int num_src, bool by_target"
torch.library.define("vig_pyg::max_relative", f"({_NODES}) -> (Tensor, Tensor)")
torch.library.define("vig_pyg::max_relative_backward", f"({_WINNERS}) -> (Tensor, Tensor)")
torch.library.impl("vig_pyg::max_relative", "CPU", _forward)
torch.library.impl("vig_pyg::max_relative", "CUDA", _forward_gpu)
torch.library.impl("vig_pyg::max_relative_backward", "CPU", _backward)
torch.library.impl("vig_pyg::max_relative_backward", "CUDA", _backward_gpu)
torch.library.register_fake("vig_pyg::max_relative", _fake_forward)
torch.library.register_fake("vig_pyg::max_relative_backward", _fake_backward)
torch.library.register_autograd("vig_pyg::max_relative", _gradients, setup_context=_setup)
