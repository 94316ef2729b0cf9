"""Checks of dtypes, shapes, devices and index ranges before native code is called.

The checks do not copy tensors. Only `check_range` synchronizes a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from vig_pyg.ops._transforms import is_transformed, without_transforms

#: Accepted dtypes of edges: int64 as in PyG, and int32 as in other libraries.
_EDGE_TYPES = (torch.int64, torch.int32)


def checked_edges(edge_index: Any, device: torch.device, owner: str = "") -> Tensor:
    """Check edges except for their range, and return them as an int64 tensor `(2, E)`.

    Args:
        edge_index: The edges: sources in row 0, targets in row 1. int32 is converted to int64.
        device: Device of the nodes.
        owner: Name for error messages of the operator that received the edges.

    Shapes: edges `(2, E)` to edges `(2, E)`.

    Raises:
        TypeError: If the edges are not a dense tensor of int64 or int32.
        ValueError: If their shape is not `(2, E)`, or they are on another device.

    Example:
        >>> checked_edges(torch.tensor([[0, 1], [1, 0]], dtype=torch.int32), torch.device("cpu")).dtype
        torch.int64
    """
    who = f"{owner}'s edge_index" if owner else "edge_index"
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"{who} must be a tensor (2, E) of int64, got {type(edge_index).__name__}: pass torch.as_tensor(...)."
        )
    if edge_index.layout != torch.strided or edge_index.is_nested:
        kind = "a nested one" if edge_index.is_nested else f"one with layout {edge_index.layout}"
        raise TypeError(
            f"{who} must be a dense tensor (2, E) of int64, got {kind}: pass its indices, with the sources first."
        )
    if edge_index.dtype not in _EDGE_TYPES:
        raise TypeError(
            f"{who} must contain node indices of int64, got {edge_index.dtype}: convert indices with .long(), or pass "
            "mask.nonzero().t() for a mask."
        )
    shape = edge_index.shape
    if len(shape) != 2 or shape[0] != 2:
        advice = "transpose it with .t()" if len(shape) == 2 and shape[1] == 2 else "stack sources and targets"
        raise ValueError(f"{who} must have the shape (2, E), got {tuple(shape)}: {advice}.")
    if edge_index.device != device:
        raise ValueError(
            f"{who} is on {edge_index.device} and the nodes are on {device}: move it with .to({str(device)!r})."
        )
    return edge_index if edge_index.dtype is torch.int64 else edge_index.long()


def check_range(edge_index: Tensor, num_src: int, num_dst: int, owner: str = "") -> None:
    """Check that all sources and targets exist. This synchronizes a GPU; symbolic tensors are not checked.

    Args:
        edge_index: Edges from `checked_edges`, `(2, E)`.
        num_src: Number of sources M.
        num_dst: Number of targets N.
        owner: Name for error messages of the operator that received the edges.

    Shapes: edges `(2, E)`.

    Raises:
        IndexError: If an index is negative or too large.

    Example:
        >>> check_range(torch.tensor([[0, 1], [1, 0]]), 2, 2)
    """
    if torch.compiler.is_compiling() or is_symbolic(edge_index) or edge_index.size(1) == 0:
        return
    if edge_index.device.type not in ("cpu", "cuda"):
        edge_index = edge_index.cpu()  # other devices do not support this reduction for int64
    if is_transformed():  # `vmap` may add a dimension for samples
        ends = [without_transforms(row).aminmax() for row in edge_index]
        low, high = [int(end.min) for end in ends], [int(end.max) for end in ends]
    else:
        low, high = (part.tolist() for part in edge_index.aminmax(dim=1))
    if min(low) < 0 or high[0] >= num_src or high[1] >= num_dst:
        raise out_of_range((low[0], high[0]), (low[1], high[1]), num_src, num_dst, owner)


def out_of_range(
    sources: tuple[int, int], targets: tuple[int, int], num_src: int, num_dst: int, owner: str = ""
) -> IndexError:
    """Return the error for edges with the given smallest and largest sources and targets.

    Example:
        >>> print(str(out_of_range((0, 5), (0, 1), 3, 2))[:60])
        edge_index must have source indices in [0, 3) and target ind
    """
    who = f"{owner}'s edge_index" if owner else "edge_index"
    return IndexError(
        f"{who} must have source indices in [0, {num_src}) and target indices in [0, {num_dst}), got sources from "
        f"{sources[0]} to {sources[1]} and targets from {targets[0]} to {targets[1]}. The graph belongs to other "
        "nodes, or sources and targets are exchanged."
    )


def is_symbolic(tensor: Tensor) -> bool:
    """True if a tensor has no data: on the device `meta`, and fake tensors while a program is traced.

    Args:
        tensor: A tensor.

    Shapes: any shape.

    Example:
        >>> is_symbolic(torch.empty(2, device="meta")), is_symbolic(torch.empty(2))
        (True, False)
    """
    return tensor.device.type == "meta" or isinstance(tensor, FakeTensor)


def check_features(x: Any, name: str, dim: int) -> None:
    """Check that features are a dense floating-point tensor with a given number of dimensions.

    Args:
        x: The features.
        name: Name of the features for error messages.
        dim: Expected number of dimensions.

    Shapes: any shape of `dim` dimensions.

    Raises:
        TypeError: If `x` is not a dense floating-point tensor.
        ValueError: If it has another number of dimensions.

    Example:
        >>> check_features(torch.rand(3, 8), "x", 2)
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}.")
    if x.layout != torch.strided or not x.is_floating_point() or x.is_nested:
        kind = "a nested one" if x.is_nested else x.dtype if x.layout == torch.strided else x.layout
        raise TypeError(f"{name} must be a dense tensor of floating-point numbers, got {kind}: convert it first.")
    if x.dim() != dim:
        raise ValueError(f"{name} must have {dim} dimensions, got {tuple(x.shape)}.")


def check_same(x: Tensor, y: Tensor, names: str) -> None:
    """Check that two tensors have the same dtype and the same device.

    Args:
        x: The first tensor.
        y: The second tensor.
        names: Names of both for error messages.

    Shapes: any shapes.

    Raises:
        ValueError: If the dtypes or the devices differ.

    Example:
        >>> check_same(torch.rand(3), torch.rand(4), "x and y")
    """
    if x.dtype != y.dtype or x.device != y.device:
        raise ValueError(
            f"{names} must have the same dtype and device, got {x.dtype} on {x.device} and {y.dtype} on {y.device}: "
            "convert one of them with .to(other)."
        )


def address(tensor: Any, dtype: torch.dtype, shape: Sequence[int], name: str) -> int:
    """Return the memory address of a tensor, after checking that native code can read it.

    Args:
        tensor: A contiguous tensor on the CPU.
        dtype: The dtype that the native code expects.
        shape: The shape that the native code expects.
        name: Name of the tensor for error messages.

    Raises:
        TypeError: If `tensor` is not a tensor.
        ValueError: If it has another dtype, shape, device or memory format.

    Example:
        >>> x = torch.rand(3, 8); address(x, torch.float32, (3, 8), "x") == x.data_ptr()
        True
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}.")
    if tensor.is_cpu and tensor.dtype is dtype and tensor.shape == shape and tensor.is_contiguous():
        pointer = tensor.data_ptr()
        if (pointer or not tensor.numel()) and pointer % dtype.itemsize == 0 and not tensor.is_neg():
            return pointer
        raise ValueError(
            f"The memory of {name} cannot be read directly (missing, unaligned or lazy): pass {name}.clone()."
        )
    raise ValueError(
        f"{name} must be a contiguous tensor {tuple(shape)} of {dtype} on the CPU, got {tuple(tensor.shape)} of "
        f"{tensor.dtype} on {tensor.device} with strides {tuple(tensor.stride())}."
    )
