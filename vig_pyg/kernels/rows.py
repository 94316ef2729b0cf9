"""Edges as rows: sources sorted by target, and the first edge of each target.

Shapes: E edges, M sources, N targets; sources `(E,)`, first edges `(N + 1,)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.kernels._native import library
from vig_pyg.kernels.checks import address, check_range, checked_edges, out_of_range

#: Neighbors of one target that a byte can tell apart.
MOST_NEIGHBORS = 256


class TooManyNeighborsError(ValueError):
    """A target has more neighbors than the kernel can tell apart for its gradient."""


def edge_rows(edge_index: Tensor, num_src: int, num_dst: int, *, slots: bool = False) -> tuple[Tensor, Tensor]:
    """Sources sorted by target, and the first edge of each target, on a CPU.

    Args:
        edge_index: `(2, E)`; fastest where sorted by target.
        num_src: Sources.
        num_dst: Targets.
        slots: Whether a byte must tell the neighbors of each target apart.

    Raises:
        TypeError: If the edges are no int64 or int32.
        ValueError: If they have another shape than `(2, E)`, or are on another device.
        IndexError: If an index is out of range.
        TooManyNeighborsError: If `slots` are asked for and a target has more than 256 neighbors.

    Example:
        >>> [part.tolist() for part in edge_rows(torch.tensor([[2, 0], [1, 0]]), 3, 2)]
        [[0, 2], [0, 1, 2]]
    """
    edge_index = checked_edges(edge_index, torch.device("cpu"))
    source, target = edge_index.contiguous()
    if library() is None:
        source, first = _plain(source, target, num_src, num_dst)
        many = slots and bool((first.diff() > MOST_NEIGHBORS).any())
    else:
        source, first, many = _native(source, target, num_src, num_dst)
    if many and slots:
        raise TooManyNeighborsError(
            f"A node has more than {MOST_NEIGHBORS} neighbours: set `fuse = False` on the operator to train."
        )
    return source, first


def _native(source: Tensor, target: Tensor, num_src: int, num_dst: int) -> tuple[Tensor, Tensor, bool]:
    first = torch.empty(num_dst + 1, dtype=torch.long)
    edges = source.size(0)

    def code() -> int:
        pointers = (address(part, torch.int64, (edges,), "edge_index") for part in (source, target))
        numbers = edges, num_src, num_dst
        return int(library().vig_first_edges(*pointers, *numbers, first.data_ptr(), torch.get_num_threads()))

    found = code()
    if found == 1:
        target, order = target.sort(stable=True)
        source = source[order]
        found = code()
    if found == 2:
        ends = [(int(part.min()), int(part.max())) for part in (source, target)]
        raise out_of_range(ends[0], ends[1], num_src, num_dst)
    return source, first, found == 3


def _plain(source: Tensor, target: Tensor, num_src: int, num_dst: int) -> tuple[Tensor, Tensor]:
    check_range(torch.stack([source, target]), num_src, num_dst)
    if not (target[1:] >= target[:-1]).all():
        target, order = target.sort(stable=True)
        source = source[order]
    return source, torch._convert_indices_from_coo_to_csr(target, num_dst)


def gpu_rows(edge_index: Tensor, num_src: int, num_dst: int, by_target: bool) -> tuple[Tensor, Tensor]:
    """As `edge_rows` on a GPU, which is not waited for where the order is sure: the kernels skip what is out of range.

    Args:
        edge_index: `(2, E)`.
        num_src: Sources.
        num_dst: Targets.
        by_target: That the edges are in range and sorted by target is sure.

    Raises:
        IndexError: If an index is out of range and `by_target` is not set.
    """
    source, target = edge_index.contiguous()
    in_order = (target[1:] >= target[:-1]).all()
    if by_target:
        torch._assert_async(in_order, "The edges are not sorted by target, as a graph builder must return them.")
    else:
        check_range(edge_index, num_src, num_dst)
        if not in_order:
            target, order = target.sort(stable=True)
            source = source[order]
    return source, torch.searchsorted(target, torch.arange(num_dst + 1, device=target.device))
