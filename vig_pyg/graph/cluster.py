"""Neighbor search by torch_cluster, for any batch and for point sets without a grid.

This is the only file that imports `torch_cluster`, which is optional: the dense search serves every batch too.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import torch
from torch import Tensor

from vig_pyg._requirements import CLUSTER, missing_message
from vig_pyg.data import BatchLayout
from vig_pyg.ops import check_features, check_same, map_on_threads
from vig_pyg.position import Codes

try:
    from torch_cluster import knn, knn_graph
except (ImportError, OSError, RuntimeError) as error:  # missing, or built for another version of torch
    _IMPORT_ERROR: Exception | None = error
else:
    _IMPORT_ERROR = None

#: Largest number of neighbors that the CUDA kernel of torch_cluster supports.
MAX_NEIGHBORS_CUDA = 100
#: Parts of a batch for each thread: a thread that is interrupted leaves its next parts to the others.
SHARES = 2
#: Devices for which torch_cluster has kernels.
DEVICES = ("cpu", "cuda")


def cluster_neighbors(
    x: Tensor, layout: BatchLayout, y: Tensor, layout_src: BatchLayout, k: int, codes: Codes | None
) -> Tensor:
    """Find the k nearest sources of each target within its image, nearest first.

    A target of an image with fewer than k sources gets all of them.

    Args:
        x: Targets `(N, C)`.
        y: Sources `(M, C)`; the same object as `x` for one node set.

    Returns:
        `edge_index (2, E)`, sources in row 0, sorted by target.

    Raises:
        ImportError: If torch_cluster is missing or cannot be loaded.
        TypeError: If the nodes are not dense floating-point tensors.
        ValueError: If torch_cluster does not support the device, if k exceeds the limit of its CUDA kernel, or if
            nodes, layouts and codes do not match each other.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [3.0]]); layout = BatchLayout.from_sizes([(1, 3)])
        >>> cluster_neighbors(x, layout, x, layout, 2, None).tolist()
        [[0, 1, 1, 0, 2, 1], [0, 0, 1, 1, 2, 2]]
    """
    require_cluster()
    _check(x, layout, y, layout_src, k, codes)
    if reason := cluster_refuses(x.device, k):
        raise ValueError(reason)
    if codes is not None:
        x, y = position_as_coordinates(x, y, codes.p, codes.q)
    if x.is_cuda:
        return _search(x, layout.batch, y, layout_src.batch, k, layout.num_graphs)
    threads = torch.get_num_threads()
    shares = _shares(layout.num_graphs, SHARES * threads if threads > 1 else 1)
    if len(shares) == 1:
        return _search(x, layout.batch, y, layout_src.batch, k, layout.num_graphs)
    # torch_cluster uses one core. The images are independent and its calls release the GIL, so they run in parallel.
    starts, starts_src = (list(accumulate(part.num_nodes_per_graph, initial=0)) for part in (layout, layout_src))

    same, x, y = x is y, x.detach(), y.detach()  # the caller's `no_grad` has no effect in new threads

    def share(first: int, last: int) -> Tensor:
        here, there = slice(starts[first], starts[last]), slice(starts_src[first], starts_src[last])
        targets = x[here]
        sources = targets if same else y[there]
        batches = layout.batch[here] - first, layout_src.batch[there] - first
        found = _search(targets, batches[0], sources, batches[1], k, last - first)
        return found + torch.tensor([[there.start], [here.start]], device=found.device)

    return torch.cat(map_on_threads(lambda i: share(*shares[i]), len(shares), threads), dim=1)


def require_cluster() -> None:
    """Check that torch_cluster can be used.

    Raises:
        ImportError: If torch_cluster is missing or cannot be loaded; the message states the command that installs it.
    """
    if reason := _missing():
        raise ImportError(reason)


def _missing() -> str:
    """Return an error message if torch_cluster cannot be imported, otherwise `""`."""
    if _IMPORT_ERROR is None:
        return ""
    which = "torch_cluster"
    if not isinstance(_IMPORT_ERROR, ModuleNotFoundError):
        which += f" built for the installed torch {torch.__version__} ({_IMPORT_ERROR})"
    problem = (
        f'knn_engine="torch_cluster" needs {which}, but knn_engine="auto" and "dense" find the same neighbors without '
        "it. Its installation compiles it, which takes about ten minutes"
    )
    return missing_message(problem, CLUSTER)


def cluster_refuses(device: torch.device, k: int) -> str:
    """Return an error message if torch_cluster cannot search k neighbors on a device, otherwise `""`.

    Example:
        >>> cluster_refuses(torch.device("cpu"), 200), cluster_refuses(torch.device("cuda"), 200)[:34]
        ('', 'torch_cluster searches at most 100')
    """
    if reason := _missing():
        return reason
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


def _check(x: Tensor, layout: BatchLayout, y: Tensor, layout_src: BatchLayout, k: int, codes: Codes | None) -> None:
    """Check the arguments, because torch_cluster does not and would read beyond the end of its tensors."""
    check_features(x, "x", 2)
    check_features(y, "y", 2)
    check_same(x, y, "Targets x and sources y")
    if x.size(1) != y.size(1) or x.size(1) < 1 or k < 1:
        raise ValueError(
            f"Targets and sources must have the same number of channels, at least 1, and k must be at least 1, got "
            f"{tuple(x.shape)}, {tuple(y.shape)} and k={k}."
        )
    for nodes, part, code in ((x, layout, codes and codes.p), (y, layout_src, codes and codes.q)):
        if not nodes.size(0) == part.num_nodes == part.batch.numel() or part.num_graphs != layout.num_graphs:
            raise ValueError(
                f"Got {nodes.size(0)} nodes, but a layout of {part.num_nodes} nodes in {part.num_graphs} images: pass "
                "the layout of these nodes."
            )
        if code is not None and (code.dim() != 2 or code.size(0) != nodes.size(0) or code.dtype != nodes.dtype):
            raise ValueError(f"Codes {tuple(code.shape)} of {code.dtype} are not those of {nodes.size(0)} nodes.")
        if not nodes.is_cuda and (part.batch[1:] < part.batch[:-1]).any():
            raise ValueError("The nodes must be sorted by image, but `batch` is not: sort the nodes by `batch`.")


def _search(x: Tensor, batch: Tensor, y: Tensor, batch_src: Tensor, k: int, num_graphs: int) -> Tensor:
    if x is y:
        return knn_graph(x, k, batch, loop=True, batch_size=num_graphs)
    target, source = knn(y, x, k, batch_src, batch, batch_size=num_graphs)
    return torch.stack([source, target])


def _shares(num_graphs: int, parts: int) -> list[tuple[int, int]]:
    """Split the images of a batch into ranges (first, last + 1) of nearly equal length."""
    parts = max(1, min(num_graphs, parts))
    ends = [num_graphs * i // parts for i in range(parts + 1)]
    return list(pairwise(ends))


def position_as_coordinates(x: Tensor, y: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return points whose Euclidean distances sort like :math:`-(x \cdot y + p \cdot q)`.

    Targets become :math:`[p, x, 0]` and sources :math:`[q, y, \sqrt{R - |y|^2 - |q|^2}]`, where R is the largest
    :math:`|y|^2 + |q|^2`. All sources then have the same norm, so the distance falls as the inner product rises.
    The position codes come first because they differ most: torch_cluster stops summing a distance as soon as it
    exceeds the current k-th distance.

    Args:
        x: Targets `(N, C)`.
        y: Sources `(M, C)`.
        p: Codes of the targets, divided by √C, `(N, R)`.
        q: Codes of the sources, divided by √C, `(M, R)`.

    Returns:
        Points `(N, R + C + 1)` and `(M, R + C + 1)`.

    Example:
        >>> a, b = position_as_coordinates(*torch.rand(4, 5, 8)); a.shape
        torch.Size([5, 17])
    """
    length = y.square().sum(1, keepdim=True) + q.square().sum(1, keepdim=True)
    rest = (length.max() - length).sqrt()
    return torch.cat([p, x, torch.zeros_like(x[:, :1])], 1), torch.cat([q, y, rest], 1)
