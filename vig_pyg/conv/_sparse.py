r"""Messages over edges from sums and extremes over nodes: no tensor of the size of the edges.

Equations: the largest of :math:`\mathrm{GELU}(v_j)` is that of the largest or of the smallest :math:`v_j`, as GELU
falls and then rises; a batch norm over edges has the mean :math:`\sum_j d_j h_j / E`, with node j in :math:`d_j` of
the E edges.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vig_pyg.ops import edge_rows


def transposed_csr(edge_index: Tensor, num_src: int, num_dst: int, dtype: torch.dtype) -> Tensor:
    """The edges as a sparse matrix of ones, a row for each target.

    Args:
        edge_index: `(2, E)`, sources and targets; fastest where sorted by target.
        num_src: Sources.
        num_dst: Targets.
        dtype: Type of the features it will be multiplied with.

    Raises:
        IndexError: If an index is out of range; torch's products would read and write beyond the features.

    Example:
        >>> transposed_csr(torch.tensor([[2, 0], [0, 1]]), 3, 2, torch.float32).to_dense().tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    source, rows = edge_rows(edge_index, num_src, num_dst)
    ones = torch.ones(1, dtype=dtype, device=source.device).expand(source.numel()).contiguous()
    return torch.sparse_csr_tensor(rows, source, ones, (num_dst, num_src), device=source.device, check_invariants=False)


def reduce_edges(adj_t: Tensor, x: Tensor, reduce: Literal["amax", "sum"]) -> Tensor:
    """Largest or summed source of each target, `(N, C)`; 0 where there is none.

    Example:
        >>> adj_t = transposed_csr(torch.tensor([[2, 0], [0, 0]]), 3, 1, torch.float32)
        >>> reduce_edges(adj_t, torch.tensor([[1.0], [7.0], [3.0]]), "amax").tolist()
        [[3.0]]
    """
    out: Tensor = torch.sparse.mm(adj_t, x.to(adj_t.dtype), reduce=reduce)  # autocast may have changed it
    return out.masked_fill(adj_t.crow_indices().diff().eq(0).unsqueeze(1), 0) if reduce == "amax" else out


def takes_sparse(x: Tensor, edge_index: Tensor) -> bool:
    """Whether torch can reduce these features over edges by a sparse product: on a CPU, not when compiling."""
    return (
        x.device.type == "cpu"
        and edge_index.layout == torch.strided
        and edge_index.size(1) > 0
        and not torch.compiler.is_compiling()
    )


def takes_edge_norm(norm: nn.Module) -> bool:
    """Whether `edge_norm` can stand for this batch norm."""
    plain = type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats and norm.momentum is not None
    return plain and not (norm._forward_hooks or norm._forward_pre_hooks)


def degrees(adj_t: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """How many edges leave each source and reach each target, `(M, 1)` and `(N, 1)`."""
    leaving = torch.bincount(adj_t.col_indices(), minlength=adj_t.size(1))
    return leaving.to(dtype).unsqueeze(1), adj_t.crow_indices().diff().to(dtype).unsqueeze(1)


def edge_norm(norm: nn.Module, x: Tensor, mean: Tensor, variance: Tensor, edges: int) -> Tensor:
    """Batch norm of nodes with statistics over edges; moves the running ones as torch does.

    Args:
        norm: The batch norm, in training.
        x: Nodes `(N, C)`.
        mean: Mean over edges `(C,)`.
        variance: Mean square deviation over edges `(C,)`.
        edges: How many edges there are, at least 2.
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
