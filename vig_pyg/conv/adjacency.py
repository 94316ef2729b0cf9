"""Conversion of every form of edges that PyG's operators accept into `edge_index (2, E)`.

Shapes: M sources, N targets, E edges.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.index import ptr2index
from torch_geometric.typing import SparseTensor

from vig_pyg.conv._types import Sizes

_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


def plain_edges(adj: Any, size: Sizes | None, owner: str, flow: str = "source_to_target") -> tuple[Any, Sizes | None]:
    """Convert edges in any form of PyG's `Adj` to a plain tensor `(2, E)`, with the numbers of nodes if they are known.

    A matrix must be the transposed adjacency matrix, as everywhere in PyG: its rows are targets, and its columns are
    sources.

    Args:
        adj: A tensor `(2, E)`, an `EdgeIndex`, a sparse matrix `(N, M)` in COO, CSR or CSC format, or a `SparseTensor`
            of torch_sparse. Anything else is returned unchanged, for a later check.
        size: Numbers of sources and targets (M, N) that the caller has given, or `None`.
        flow: Direction of the messages; matrices exist only for `"source_to_target"`, as in PyG.

    Returns:
        The edges, sources in row 0, and the numbers of nodes (M, N), if they are known.

    Raises:
        ValueError: If `size` contradicts the edges, if the values of a matrix are not all 1, or if a matrix comes with
            another `flow`.

    Example:
        >>> adj_t = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]).to_sparse()
        >>> edge_index, size = plain_edges(adj_t, None, "MaxRelativeConv"); edge_index.tolist(), size
        ([[1, 2, 0], [0, 0, 1]], (3, 2))
    """
    if isinstance(adj, EdgeIndex):
        rows, columns = adj.sparse_size()
        found = (rows, columns) if flow == "source_to_target" else (columns, rows)
        return adj.as_tensor(), _agreed(size, found, owner, "the EdgeIndex is for")
    if isinstance(adj, SparseTensor):
        row, column, value = adj.coo()
        shape = adj.sparse_sizes()
    elif isinstance(adj, Tensor) and adj.layout in _SPARSE and len(adj.shape) - adj.dense_dim() == 2:
        row, column, value = _entries(adj)
        shape = adj.shape
    else:
        return adj, size
    if flow != "source_to_target":
        raise ValueError(
            f"{owner} has flow={flow!r}, which PyG defines for edges (2, E) only: pass such edges, or the transposed "
            'matrix to an operator with flow="source_to_target".'
        )
    if value is not None and not bool((value == 1).all()):
        raise ValueError(
            f"{owner} has no edge weights, but the values of its matrix are not all 1: pass a matrix of ones, or use "
            "an operator that accepts `edge_weight`."
        )
    size = _agreed(size, (shape[1], shape[0]), owner, "the matrix, whose rows are targets, is for")
    return torch.stack([column, row]), size


def check_size(size: Sizes | None, num_src: int, num_dst: int, owner: str) -> None:
    """Check that given numbers of nodes (M, N) match the features.

    Raises:
        ValueError: If the numbers differ from those of the features, or `size` is not a pair.

    Example:
        >>> check_size((3, None), 3, 2, "MaxRelativeConv")
    """
    if size is None:
        return
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ValueError(f"{owner} expects size=(sources, targets), two numbers of nodes, got {size!r}.")
    if size[0] not in (None, num_src) or size[1] not in (None, num_dst):
        hint = ": pass the transposed matrix, adj.t()" if tuple(size) == (num_dst, num_src) else ""
        raise ValueError(
            f"{owner} got {num_src} sources and {num_dst} targets, but edges for {size[0]} sources and {size[1]} "
            f"targets (`size`, or the shape of the matrix){hint}."
        )


def _entries(adj: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows, columns and values of a sparse matrix, in its order."""
    if adj.layout is torch.sparse_coo:
        # Valid for uncoalesced matrices too: an entry that occurs twice represents two edges.
        row, column = adj._indices()
        return row, column, adj._values()
    if adj.layout is torch.sparse_csr:
        column, first = adj.col_indices(), adj.crow_indices()
        return ptr2index(first, output_size=column.numel()), column, adj.values()
    row, first = adj.row_indices(), adj.ccol_indices()
    return row, ptr2index(first, output_size=row.numel()), adj.values()


def _agreed(size: Sizes | None, found: Sizes, owner: str, what: str) -> Sizes:
    """Merge the numbers of nodes of the caller with those of the edges."""
    if size is None:
        return found[0], found[1]
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ValueError(f"{owner} expects size=(sources, targets), two numbers of nodes, got {size!r}.")
    for one, two in zip(size, found, strict=True):
        if one is not None and two is not None and one != two:
            raise ValueError(f"{owner} got size={tuple(size)}, but {what} {tuple(found)} nodes: leave `size` out.")
    first, second = (two if one is None else one for one, two in zip(size, found, strict=True))
    return first, second
