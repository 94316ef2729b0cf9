"""The spectral gap of graphs of patches: how fast messages spread over an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch


def spectral_gap(edge_index: Tensor, num_nodes: int) -> float:
    r"""Compute the spectral gap of a directed graph.

    .. math:: 1 - |\lambda_2(P)|, \qquad P_{ij} = \frac{a_{ij}}{\sum_l a_{il}}

    where a_ij counts the edges from source j to target i, and the eigenvalues of P are ordered by their absolute value.
    P is the matrix of mean aggregation, and of the random walk that steps from a node to one of its neighbors with
    equal probability; a node without neighbors stays where it is. The gap is 1 if one step reaches all nodes equally,
    and 0 if the walk stays in a part of the graph or returns periodically, as on a ring of even length. (Levin and
    Peres, Markov Chains and Mixing Times, 2017, section 12.1, which calls it the absolute spectral gap.)

    Args:
        edge_index: Sources and targets, `(2, E)`.
        num_nodes: Number of nodes N, at least 1. The eigenvalues of a dense N x N matrix are computed, which takes a
            time of O(N^3) and a memory of O(N^2).

    Shapes: `edge_index (2, E)`.

    Raises:
        ValueError: If there is no node.

    Example:
        >>> complete = torch.ones(5, 5).nonzero().T
        >>> round(spectral_gap(complete, 5), 6)
        1.0
    """
    if num_nodes < 1:
        raise ValueError(f"The spectral gap needs at least one node, got {num_nodes}.")
    source, target = edge_index.cpu()
    counts = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    counts.index_put_((target, source), torch.ones(len(source), dtype=torch.float64), accumulate=True)
    return _gap(_walk(counts))


def graph_gaps(graphs: Sequence[Batch]) -> list[list[float]]:
    """Compute the spectral gap of each layer and image of a network.

    If the sources of a layer are pooled, the random walk steps from a patch to a pooled neighbor, and from there to one
    of the patches that this neighbor averages, each with equal probability.

    Args:
        graphs: The result of `model.graphs(images)`.

    Returns:
        For each layer, the gap of each image.

    Example:
        >>> from vig_pyg import vig_micro
        >>> gaps = graph_gaps(vig_micro(graph="complete").eval().graphs(torch.rand(1, 3, 32, 32)))
        >>> [round(gap, 6) for (gap,) in gaps]
        [1.0, 1.0, 1.0, 1.0]
    """
    return [[_image_gap(batch.get_example(i)) for i in range(batch.num_graphs)] for batch in graphs]


def _image_gap(graph: Batch) -> float:
    pos, pos_src = graph.pos.cpu().double(), graph.pos_src.cpu().double()
    if int(graph.reduce_ratio) == 1:
        return spectral_gap(graph.edge_index, len(pos))
    source, target = graph.edge_index.cpu()
    counts = torch.zeros(len(pos), len(pos_src), dtype=torch.float64)
    counts.index_put_((target, source), torch.ones(len(source), dtype=torch.float64), accumulate=True)
    pooled = torch.zeros(len(pos_src), len(pos), dtype=torch.float64)
    pooled[torch.cdist(pos, pos_src).argmin(1), torch.arange(len(pos))] = 1
    pooled /= pooled.sum(1, keepdim=True).clamp_min(1)
    walk = counts / counts.sum(1, keepdim=True).clamp_min(1) @ pooled
    return _gap(_walk(walk))


def _walk(weights: Tensor) -> Tensor:
    """Divide the rows `(N, N)` by their sums; a row of zeros becomes a step to the node itself."""
    alone = weights.sum(1) == 0
    weights = weights + torch.diag(alone.to(weights.dtype))
    return weights / weights.sum(1, keepdim=True)


def _gap(walk: Tensor) -> float:
    """Return 1 - |second largest eigenvalue|; rounding can make it slightly negative, which is 0."""
    if len(walk) == 1:
        return 1.0
    sizes = torch.linalg.eigvals(walk).abs().sort(descending=True).values
    return float(1 - sizes[1].clamp(0, 1))
