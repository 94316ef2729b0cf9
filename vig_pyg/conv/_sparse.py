r"""Edge-level aggregation computed from per-node sums and extrema, without materializing an (E, C) tensor.

Equations: GELU first falls and then rises, so the maximum of :math:`\mathrm{GELU}(v_j)` over j is attained at the
largest or at the smallest :math:`v_j`. A batch norm over edges has the mean :math:`\sum_j d_j h_j / E`, where node j is
the source of :math:`d_j` edges and E is the number of all edges.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vig_pyg.ops import edge_rows, is_transformed


def transposed_csr(edge_index: Tensor, num_src: int, num_dst: int, dtype: torch.dtype) -> Tensor:
    """Return the transposed adjacency matrix in CSR format: a sparse matrix of ones with one row for each target.

    Args:
        edge_index: Sources in row 0 and targets in row 1, `(2, E)`. Edges that are sorted by target are the fastest.

    Returns:
        A sparse tensor `(N, M)`.

    Raises:
        IndexError: If an index is out of range. (torch's sparse products do not check this.)

    Example:
        >>> transposed_csr(torch.tensor([[2, 0], [0, 1]]), 3, 2, torch.float32).to_dense().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    source, rows = edge_rows(edge_index, num_src, num_dst)
    ones = torch.ones(1, dtype=dtype, device=source.device).expand(source.numel()).contiguous()
    return torch.sparse_csr_tensor(rows, source, ones, (num_dst, num_src), device=source.device, check_invariants=False)


def reduce_edges(adj_t: Tensor, x: Tensor, reduce: Literal["amax", "sum"]) -> Tensor:
    """Reduce the sources of each target by maximum or sum; a target without edges gets 0.

    Args:
        adj_t: Sparse matrix `(N, M)` from `transposed_csr`.
        x: Source features `(M, C)`.

    Returns:
        The reduced features `(N, C)`.

    Example:
        >>> adj_t = transposed_csr(torch.tensor([[2, 0], [0, 0]]), 3, 1, torch.float32)
        >>> reduce_edges(adj_t, torch.tensor([[1.0], [7.0], [3.0]]), "amax").tolist()
        [[3.0]]
    """
    out: Tensor = torch.sparse.mm(adj_t, x.to(adj_t.dtype), reduce=reduce)  # autocast may have changed the dtype of x
    return out.masked_fill(adj_t.crow_indices().diff().eq(0).unsqueeze(1), 0) if reduce == "amax" else out


def can_use_sparse(x: Tensor, edge_index: Tensor) -> bool:
    """True if a sparse product can reduce these edges: on a CPU, with an edge, without compilation or transforms."""
    return (
        x.device.type == "cpu"
        and edge_index.layout == torch.strided
        and edge_index.size(1) > 0
        and not torch.compiler.is_compiling()
        and not is_transformed()
    )


def uses_batch_statistics(norm: nn.Module) -> bool:
    """True if the norm uses the statistics of its input: in training mode, or if it has no running statistics."""
    return norm.training or (isinstance(norm, _BatchNorm) and norm.running_mean is None)


def can_use_edge_norm(norm: nn.Module) -> bool:
    """True if `edge_norm` can replace this batch norm: a plain affine `BatchNorm1d` with running statistics."""
    plain = type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats and norm.momentum is not None
    return plain and not (norm._forward_hooks or norm._forward_pre_hooks)


def degrees(adj_t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the out-degree of each source `(M, 1)` and the in-degree of each target `(N, 1)`."""
    leaving = torch.bincount(adj_t.col_indices(), minlength=adj_t.size(1))
    return leaving.to(dtype).unsqueeze(1), adj_t.crow_indices().diff().to(dtype).unsqueeze(1)


def edge_norm(norm: nn.Module, x: Tensor, mean: Tensor, variance: Tensor, edges: int) -> Tensor:
    """Normalize nodes with batch statistics over edges, and update the running statistics as torch does.

    Args:
        norm: The batch norm, in training mode.
        x: Nodes `(N, C)`.
        mean: Mean over the edges, `(C,)`.
        variance: Biased variance over the edges, `(C,)`.
        edges: Number of edges E, at least 2.
    """
    assert isinstance(norm, nn.BatchNorm1d)
    with torch.no_grad():
        assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        norm.running_var.lerp_((variance * (edges / (edges - 1))).to(norm.running_var.dtype), norm.momentum)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return (x - mean) * scale + norm.bias
