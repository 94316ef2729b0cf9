"""Conversion of edges to CSR format: the sources sorted by target, and the index of the first edge of each target.

Shapes: E edges, M sources, N targets; sources `(E,)`, first edges `(N + 1,)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.ops._native import library
from vig_pyg.ops.checks import address, check_range, checked_edges

#: Largest number of neighbors of a target for which one byte identifies a neighbor.
MOST_NEIGHBORS = 256
_CPU = torch.device("cpu")


class TooManyNeighborsError(ValueError):
    """A target has more neighbors than the kernel supports in training (256).

    Example:
        >>> issubclass(TooManyNeighborsError, ValueError)
        True
    """


def edge_rows(edge_index: Tensor, num_src: int, num_dst: int, *, slots: bool = False) -> tuple[Tensor, Tensor]:
    """Convert edges on a CPU to CSR format.

    Args:
        edge_index: Edges `(2, E)`; edges that are sorted by target are the fastest.
        num_src: Number of sources M.
        num_dst: Number of targets N.
        slots: If true, check that each target has at most 256 neighbors.

    Shapes: edges `(2, E)` to sources `(E,)` and offsets `(N + 1,)`.

    Returns:
        The sources sorted by target, `(E,)`, and the index of the first edge of each target, `(N + 1,)`.

    Raises:
        TypeError: If the edges are not int64 or int32.
        ValueError: If their shape is not `(2, E)`, or they are on another device.
        IndexError: If an index is out of range.
        TooManyNeighborsError: If `slots` is true and a target has more than 256 neighbors.

    Example:
        >>> [part.tolist() for part in edge_rows(torch.tensor([[2, 0], [1, 0]]), 3, 2)]
        [[0, 2], [0, 1, 2]]
    """
    edges, first = sorted_edges(edge_index, num_src, num_dst, slots=slots)
    return edges[0], first


def sorted_edges(edge_index: Tensor, num_src: int, num_dst: int, *, slots: bool) -> tuple[Tensor, Tensor]:
    """As `edge_rows`, but return contiguous edges `(2, E)` instead of the sources.

    Args:
        slots: If true, check that each target has at most 256 neighbors.

    Raises:
        IndexError: If an index is out of range.
        TooManyNeighborsError: If `slots` is true and a target has more than 256 neighbors.

    Example:
        >>> [part.tolist() for part in sorted_edges(torch.tensor([[2, 0], [1, 0]]), 3, 2, slots=False)]
        [[[0, 2], [0, 1]], [0, 1, 2]]
    """
    edges = checked_edges(edge_index, _CPU).contiguous()
    kernels = library()
    if kernels is None:
        return _plain(edges, num_src, num_dst, slots)
    first = edges.new_empty(num_dst + 1)

    def code() -> int:
        count = edges.shape[1]
        sources = address(edges, torch.int64, (2, count), "edge_index")
        numbers = sources, sources + 8 * count, count, num_src, num_dst  # in memory, the targets follow the sources
        return int(kernels.vig_first_edges(*numbers, first.data_ptr(), torch.get_num_threads()))

    found = code()
    if found == 1:
        edges = _in_order(edges)
        found = code()
    if found == 2:
        check_range(edges, num_src, num_dst)
    if found == 3 and slots:
        raise _too_many()
    return edges, first


def _plain(edges: Tensor, num_src: int, num_dst: int, slots: bool) -> tuple[Tensor, Tensor]:
    check_range(edges, num_src, num_dst)
    if not (edges[1, 1:] >= edges[1, :-1]).all():
        edges = _in_order(edges)
    first = torch._convert_indices_from_coo_to_csr(edges[1], num_dst)
    if slots and (first.diff() > MOST_NEIGHBORS).any():
        raise _too_many()
    return edges, first


def _in_order(edges: Tensor) -> Tensor:
    target, order = edges[1].sort(stable=True)
    return torch.stack([edges[0, order], target])


def plain_rows(edge_index: Tensor, num_dst: int) -> tuple[Tensor, Tensor]:
    """As `sorted_edges`, for edges that are known to be in range, with operations that support autograd and `vmap`.

    Example:
        >>> [part.tolist() for part in plain_rows(torch.tensor([[2, 0], [1, 0]]), 2)]
        [[[0, 2], [0, 1]], [0, 1, 2]]
    """
    order = edge_index[1].argsort(stable=True)
    degree = torch.zeros(num_dst, dtype=torch.long, device=edge_index.device)
    degree = degree.index_add(0, edge_index[1], torch.ones_like(edge_index[1]))
    return edge_index[:, order], torch.nn.functional.pad(degree.cumsum(0), (1, 0))


def _too_many() -> TooManyNeighborsError:
    return TooManyNeighborsError(
        f"A node has more than {MOST_NEIGHBORS} neighbors: set `fuse = False` on the operator to train."
    )


def gpu_edges(edge_index: Tensor, num_src: int, num_dst: int, by_target: bool) -> Tensor:
    """Check and sort edges on a GPU by target, and return them as a contiguous tensor.

    Args:
        by_target: If true, the edges are known to be in range and sorted by target, so the check is skipped, which
            would synchronize the GPU. Other edges then give wrong sums and maxima, or NaN. The kernels skip indices
            that are out of range, so they never access memory beyond the features.

    Raises:
        IndexError: If an index is out of range and `by_target` is not set.

    Example:
        >>> gpu_edges(torch.tensor([[2, 0], [1, 0]]), 3, 2, by_target=False).tolist()
        [[0, 2], [0, 1]]
    """
    edges = edge_index.contiguous()
    if by_target:
        return edges
    check_range(edges, num_src, num_dst)
    return edges if (edges[1, 1:] >= edges[1, :-1]).all() else _in_order(edges)


def winner_type(num_src: int) -> torch.dtype:
    """Return the smallest integer dtype for the indices of `num_src` sources.

    Example:
        >>> winner_type(256), winner_type(257)
        (torch.uint8, torch.int16)
    """
    return torch.uint8 if num_src <= 2**8 else torch.int16 if num_src <= 2**15 else torch.int32
