"""Neighbor search by torch_cluster: any batch, any set of points.

This is the one file that imports `torch_cluster`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch_cluster import knn, knn_graph

from vig_pyg.data import Layout
from vig_pyg.ops import check_features, check_same
from vig_pyg.position import Codes

#: Limit of torch_cluster's CUDA kernel.
MAX_NEIGHBORS_CUDA = 100
#: Devices that it has kernels for.
DEVICES = ("cpu", "cuda")


def cluster_neighbors(x: Tensor, layout: Layout, y: Tensor, layout_src: Layout, k: int, codes: Codes | None) -> Tensor:
    """The k nearest sources of each target within its image, nearest first (fewer where an image has fewer).

    Args:
        x: Targets `(N, C)`.
        layout: Layout of the targets.
        y: Sources `(M, C)`; the same object as `x` for one node set.
        layout_src: Layout of the sources.
        k: Neighbors of each target.
        codes: Position codes of all nodes, or `None`.

    Returns:
        `edge_index (2, E)`, sources in row 0, sorted by target.

    Raises:
        TypeError: If the nodes are no dense tensors of floating-point numbers.
        ValueError: If torch_cluster has no search on the device, k is beyond the limit of its CUDA kernel, or nodes,
            layouts and codes do not fit each other.
    """
    _check(x, layout, y, layout_src, k, codes)
    if reason := cluster_refuses(x.device, k):
        raise ValueError(reason)
    if codes is not None:
        x, y = position_as_coordinates(x, y, codes.p, codes.q)
    if x.is_cuda:
        return _search(x, layout.batch, y, layout_src.batch, k, layout.num_graphs)
    shares = _shares(layout.num_graphs, torch.get_num_threads())
    if len(shares) == 1:
        return _search(x, layout.batch, y, layout_src.batch, k, layout.num_graphs)
    # torch_cluster searches on one core; images are independent, and its calls let other threads run
    starts, starts_src = (list(accumulate(part.counts, initial=0)) for part in (layout, layout_src))

    same, x, y = x is y, x.detach(), y.detach()  # new threads would record gradients

    def share(first: int, last: int) -> Tensor:
        here, there = slice(starts[first], starts[last]), slice(starts_src[first], starts_src[last])
        targets = x[here]
        sources = targets if same else y[there]
        batches = layout.batch[here] - first, layout_src.batch[there] - first
        found = _search(targets, batches[0], sources, batches[1], k, last - first)
        return found + torch.tensor([[there.start], [here.start]], device=found.device)

    with ThreadPoolExecutor(len(shares)) as pool:
        return torch.cat(list(pool.map(lambda ends: share(*ends), shares)), dim=1)


def cluster_refuses(device: torch.device, k: int) -> str:
    """Why torch_cluster cannot search k neighbors on a device, with what to do instead; `""` if it can."""
    if device.type not in DEVICES:
        return (
            f"torch_cluster searches on {' and '.join(DEVICES)}, got nodes on {device.type}: "
            'use knn_engine="auto" or "dense".'
        )
    if device.type == "cuda" and k > MAX_NEIGHBORS_CUDA:
        return (
            f"torch_cluster searches at most {MAX_NEIGHBORS_CUDA} neighbors on CUDA, got k * dilation = {k}: "
            'use a smaller k or dilation, or knn_engine="dense".'
        )
    return ""


def _check(x: Tensor, layout: Layout, y: Tensor, layout_src: Layout, k: int, codes: Codes | None) -> None:
    """Checks what torch_cluster does not: it reads as many numbers as its other arguments say."""
    check_features(x, "x", 2)
    check_features(y, "y", 2)
    check_same(x, y, "Targets x and sources y")
    if x.size(1) != y.size(1) or x.size(1) < 1 or k < 1:
        raise ValueError(
            f"Targets and sources must have as many channels, one at least, and k be at least 1, got {tuple(x.shape)}, "
            f"{tuple(y.shape)} and k={k}."
        )
    for nodes, part, code in ((x, layout, codes and codes.p), (y, layout_src, codes and codes.q)):
        if not nodes.size(0) == part.num_nodes == part.batch.numel() or part.num_graphs != layout.num_graphs:
            raise ValueError(
                f"Got {nodes.size(0)} nodes, and a layout of {part.num_nodes} in {part.num_graphs} images: it belongs "
                "to other nodes."
            )
        if code is not None and (code.dim() != 2 or code.size(0) != nodes.size(0) or code.dtype != nodes.dtype):
            raise ValueError(f"Codes {tuple(code.shape)} of {code.dtype} are not those of {nodes.size(0)} nodes.")
        if not nodes.is_cuda and (part.batch[1:] < part.batch[:-1]).any():
            raise ValueError("The nodes must come image after image, but their `batch` is not sorted: sort them by it.")


def _search(x: Tensor, batch: Tensor, y: Tensor, batch_src: Tensor, k: int, num_graphs: int) -> Tensor:
    if x is y:
        return knn_graph(x, k, batch, loop=True, batch_size=num_graphs)
    target, source = knn(y, x, k, batch_src, batch, batch_size=num_graphs)
    return torch.stack([source, target])


def _shares(num_graphs: int, threads: int) -> list[tuple[int, int]]:
    """Images of a batch in about equal shares, as (first, last + 1)."""
    parts = max(1, min(num_graphs, threads))
    ends = [num_graphs * i // parts for i in range(parts + 1)]
    return list(pairwise(ends))


def position_as_coordinates(x: Tensor, y: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    r"""Points whose Euclidean order is that of :math:`x \cdot y + p \cdot q`.

    Targets :math:`[p, x, 0]` and sources :math:`[q, y, \sqrt{R - |y|^2 - |q|^2}]` with R the largest
    :math:`|y|^2 + |q|^2`: all sources then have the same length, and distance falls as the inner product rises.
    Places come first because they differ most: torch_cluster stops adding up a distance that is too long already.

    Args:
        x: Targets `(N, C)`.
        y: Sources `(M, C)`.
        p: Codes of the targets over √C, `(N, R)`.
        q: Codes of the sources over √C, `(M, R)`.

    Returns:
        Points `(N, R + C + 1)` and `(M, R + C + 1)`.

    Example:
        >>> a, b = position_as_coordinates(*torch.rand(4, 5, 8)); a.shape
        torch.Size([5, 17])
    """
    length = y.square().sum(1, keepdim=True) + q.square().sum(1, keepdim=True)
    rest = (length.max() - length).sqrt()
    return torch.cat([p, x, torch.zeros_like(x[:, :1])], 1), torch.cat([q, y, rest], 1)
