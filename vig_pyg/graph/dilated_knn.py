"""The dilated k-nearest-neighbor graph of Vision GNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg.data import BatchLayout
from vig_pyg.graph.cluster import cluster_neighbors, cluster_refuses, require_cluster
from vig_pyg.graph.dense import dense_arguments, dense_edges
from vig_pyg.graph.edge_attr import EdgeAttr, Edges, attr_repr, checked_edge_attr, with_edge_attr
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.search import Search
from vig_pyg.ops import (
    PRECISIONS,
    Precision,
    autocast_device,
    check_features,
    is_exporting,
    is_open,
    is_surely,
    is_transformed,
    knn_any_size,
    unit_rows,
)
from vig_pyg.position import Codes, PositionCodes, PositionMode

Engine = Literal["auto", "dense", "torch_cluster"]
ENGINES: tuple[Engine, ...] = ("auto", "dense", "torch_cluster")


def shrink(k: int, dilation: int, num_nodes: int) -> tuple[int, int]:
    """Reduce k and dilation for an image that has fewer than `k * dilation` nodes: first the dilation, then k.

    Args:
        k: Number of neighbors of each patch, at least 1.
        dilation: Spacing of the neighbors, at least 1.
        num_nodes: Number of source nodes of the image, at least 1.

    Returns:
        The pair (k, dilation), with `k * dilation` at most `num_nodes`.

    Example:
        >>> shrink(9, 4, 196), shrink(9, 4, 20), shrink(9, 4, 5)
        ((9, 4), (9, 2), (5, 1))
    """
    if k * dilation <= num_nodes:  # a single comparison, because each one specializes a compiled program
        return k, dilation
    k = min(k, num_nodes)
    return k, max(1, min(dilation, num_nodes // k))


@register_graph("knn")
class DilatedKNN(nn.Module):
    r"""Connects each patch with every `dilation`-th of its `k * dilation` nearest patches, including itself.

    .. math:: \mathcal{N}(i) = \{ j_0, j_d, j_{2d}, \dots, j_{(k-1)d} \}, \quad
        |x_i - x_{j_0}| \le |x_i - x_{j_1}| \le \dots

    over L2-normalized features of the same image (Vision GNN, arXiv 2206.00272, section 3; dilation as in DeepGCNs,
    arXiv 1904.03751). With `position`, sin-cos codes p and q of the two patches add :math:`-2\,p_i \cdot q_j / C`
    to the squared distance. The search is not differentiable.

    Args:
        k: Number of neighbors of each patch, at least 1. If an image has fewer than `k * dilation` nodes, `shrink`
            reduces the dilation and then k.
        dilation: Spacing of the neighbors, at least 1.
        stochastic: If true, training chooses k random patches of the `k * dilation` nearest with probability
            `epsilon`.
        epsilon: Probability of a random choice if `stochastic` is on; the published value is 0.2.
        engine: `"dense"` (matrix product and top-k, the fastest for images of one size), `"torch_cluster"` (for any
            batch), or `"auto"`. `"auto"` selects the dense search if all images have the same number of nodes, or if
            torch_cluster cannot search: it may not be installed, it supports only CPU and CUDA, and on CUDA
            `k * dilation` must not exceed 100.
        position: `None`, `"official"` or `"grid"` (see `PositionCodes`).
        knn_precision: Precision of the matrix products of float32 features in the dense engine on a GPU, with the
            names of `torch.set_float32_matmul_precision`: `"highest"` keeps the precision of float32, `"high"` uses
            TF32, and `"medium"` uses bfloat16. It has no effect on a CPU, nor on 16-bit features, whose products are
            exact in float32.
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest first. With `edge_attr`, to a pair of `edge_index` and the attributes `(E, D)`.

    Raises:
        ImportError: If `engine` is `"torch_cluster"`, but torch_cluster is missing.
        ValueError: If `k` or `dilation` is below 1, if an option is unknown, if an image has no node, or if a feature
            is not finite. On a GPU the dense engine does not check for NaN, because the check would synchronize the
            device.

    Example:
        >>> x = torch.rand(18, 8); layout = BatchLayout.from_sizes([(3, 3), (3, 3)])
        >>> DilatedKNN(k=2)(x, layout, x, layout).shape
        torch.Size([2, 36])
    """

    def __init__(
        self,
        k: int,
        dilation: int = 1,
        *,
        stochastic: bool = False,
        epsilon: float = 0.2,
        engine: Engine = "auto",
        position: PositionMode | None = None,
        knn_precision: Precision = "highest",
        edge_attr: EdgeAttr | Sequence[EdgeAttr] = (),
    ) -> None:
        super().__init__()
        if k < 1 or dilation < 1:
            raise ValueError(f"k and dilation must be at least 1, got k={k} and dilation={dilation}.")
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon is a probability between 0 and 1, got {epsilon}.")
        if engine not in ENGINES:
            raise ValueError(f"Unknown knn_engine {engine!r}: choose one of {', '.join(ENGINES)}.")
        if knn_precision not in PRECISIONS:
            raise ValueError(f"Unknown knn_precision {knn_precision!r}: choose one of {', '.join(PRECISIONS)}.")
        if engine == "torch_cluster":
            require_cluster()
        self.k = k
        self.dilation = dilation
        self.stochastic = stochastic
        self.epsilon = epsilon
        self.engine = engine
        self.knn_precision: Precision = knn_precision
        self.edge_attr = checked_edge_attr(edge_attr)
        self.position = None if position is None else PositionCodes(position)

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        edges = self._edges(x, layout, x_src, layout_src)
        return with_edge_attr(edges, self.edge_attr, x, layout, x_src, layout_src) if self.edge_attr else edges

    @torch.no_grad()
    def _edges(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Tensor:
        if not torch.compiler.is_compiling():
            _check_rows(x, layout, "targets")
            _check_rows(x_src, layout_src, "sources")
        with torch.autocast(autocast_device(x), enabled=False):
            return self._search(x, layout, x_src, layout_src)

    def search(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Search | None:
        """Return the neighbor search of this graph without running it.

        Args:
            x: Features of the targets, `(N, C)`.
            layout: Layout of the targets.
            x_src: Features of the sources, `(M, C)`.
            layout_src: Layout of the sources.

        Returns:
            The search, or `None` if the graph is not the result of one search with evenly spaced ranks.
        """
        if not torch.compiler.is_compiling():
            _check_rows(x, layout, "targets")
            _check_rows(x_src, layout_src, "sources")
        layout.check_filled(layout_src)
        plain = self.engine != "torch_cluster" and not (self.stochastic and self.training)
        if not (plain and layout.is_regular and layout_src.is_regular):
            return None
        bias, width = None, 0
        if self.position is not None:
            if layout.grid_size is None:
                return None
            dtype = torch.promote_types(x.dtype, torch.float32)
            found = self.position(layout, layout_src, x.size(1), dtype).bias(layout.grid_size)
            if found is None:  # codes are additional coordinates of the features
                return None
            bias, width = found
        (n,), (m,) = layout.distinct_num_nodes, layout_src.distinct_num_nodes
        k, dilation = shrink(self.k, self.dilation, m)
        x, x_src = x.view(-1, n, x.size(1)), x_src.view(-1, m, x.size(1))  # (N, C) -> (B, n, C)
        return Search(x, x_src, (k - 1) * dilation + 1, dilation, bias, True, self.knn_precision, width)

    def _search(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Tensor:
        layout.check_filled(layout_src)
        dtype = torch.promote_types(x.dtype, torch.float32)
        codes = self.position(layout, layout_src, x.size(1), dtype) if self.position is not None else None
        regular = layout.is_regular and layout_src.is_regular
        nodes = layout_src.distinct_num_nodes
        if regular and is_exporting() and is_open(*nodes) and not is_surely(self.k * self.dilation <= nodes[0]):
            return self._of_any_size(x, layout, x_src, layout_src, codes)
        kept = [self._ranks(*shrink(self.k, self.dilation, m)) for m in nodes]
        if is_exporting() and self.engine == "torch_cluster":
            raise ValueError("Programs cannot contain the search of torch_cluster: export with knn_engine='auto'.")
        if regular and self.engine != "torch_cluster":
            return self._from_dense(x, layout, x_src, layout_src, codes, kept[0])
        unit = unit_rows(x, layout.distinct_num_nodes)
        unit_src = unit if x_src is x else unit_rows(x_src, layout_src.distinct_num_nodes)
        most = max(ranks[-1] for ranks in kept) + 1
        traced = torch.compiler.is_compiling() or is_transformed()  # torch_cluster supports neither
        cannot = self.engine == "auto" and (traced or cluster_refuses(x.device, most))
        from_any = self._from_dense_ragged if self.engine == "dense" or cannot else _from_cluster
        return from_any(unit, layout, unit_src, layout_src, codes, kept)

    def _from_dense(
        self, x: Tensor, layout: BatchLayout, y: Tensor, layout_src: BatchLayout, codes: Codes | None, ranks: list[int]
    ) -> Tensor:
        if codes is not None and layout.grid_size is None:  # the grids differ, so each image has its own codes
            return self._from_dense_ragged(x, layout, y, layout_src, codes, [ranks])
        return dense_edges(x, layout, y, layout_src, ranks, codes, precision=self.knn_precision)

    def _of_any_size(
        self, x: Tensor, layout: BatchLayout, y: Tensor, layout_src: BatchLayout, codes: Codes | None
    ) -> Tensor:
        """Search in an exported program, in which it is unknown whether an image has `k * dilation` sources."""
        x, y, bias, options = dense_arguments(x, layout, y, layout_src, codes)
        return knn_any_size(x, y, self.k, self.dilation, bias, normalize=options["normalize"])

    def _from_dense_ragged(
        self,
        x: Tensor,
        layout: BatchLayout,
        y: Tensor,
        layout_src: BatchLayout,
        codes: Codes | None,
        kept: list[list[int]],
    ) -> Tensor:
        """Run the dense search for one image after another."""
        edges, first = [], torch.zeros(2, 1, dtype=torch.long, device=x.device)
        num_targets, num_sources = list(layout.num_nodes_per_graph), list(layout_src.num_nodes_per_graph)
        targets, sources = x.split(num_targets), y.split(num_sources)
        p = codes.p.split(num_targets) if codes else None
        q = codes.q.split(num_sources) if codes else None
        for i, (a, b) in enumerate(zip(targets, sources, strict=True)):
            code = Codes(p[i], q[i]) if p and q else None
            here, there = (BatchLayout.from_sizes([(part.size(0), 1)], x.device) for part in (a, b))
            edges.append(self._from_dense(a, here, b, there, code, kept[i % len(kept)]) + first)
            first = first + torch.tensor([[b.size(0)], [a.size(0)]], device=x.device)
        return torch.cat(edges, dim=1)

    def _ranks(self, k: int, dilation: int) -> list[int]:
        """Ranks of the sorted neighbors to select, ascending."""
        if self.stochastic and self.training and torch.rand((), device="cpu").item() < self.epsilon:
            return sorted(torch.randperm(k * dilation, device="cpu")[:k].tolist())
        return list(range(0, k * dilation, dilation))

    def extra_repr(self) -> str:
        return (
            f"k={self.k}, dilation={self.dilation}, stochastic={self.stochastic}, engine={self.engine!r}, "
            f"knn_precision={self.knn_precision!r}{attr_repr(self.edge_attr)}"
        )


def _check_rows(x: Tensor, layout: BatchLayout, name: str) -> None:
    check_features(x, f"The {name}", 2)
    n = layout.num_nodes
    if x.size(0) != n or x.size(1) < 1:
        raise ValueError(f"Got {name} {tuple(x.shape)}, but a layout of {n} nodes: pass the layout of these images.")


def _from_cluster(
    x: Tensor, layout: BatchLayout, y: Tensor, layout_src: BatchLayout, codes: Codes | None, kept: list[list[int]]
) -> Tensor:
    if codes is not None and layout.grid_size is not None:  # all images have the same codes
        codes = Codes(codes.p.repeat(layout.num_graphs, 1), codes.q.repeat(layout.num_graphs, 1))
    most = max(ranks[-1] for ranks in kept) + 1
    edge_index = cluster_neighbors(x, layout, y, layout_src, most, codes)
    target = edge_index[1]
    degree = torch.bincount(target, minlength=layout.num_nodes)
    rank = torch.arange(target.numel(), device=x.device) - F.pad(degree.cumsum(0), (1, 0))[target]
    stays = torch.zeros(len(kept), most, dtype=torch.bool, device="cpu")
    for row, ranks in zip(stays, kept, strict=True):
        row[ranks] = True
    image = layout.batch[target] if len(kept) > 1 else 0
    return edge_index[:, stays.to(x.device)[image, rank]]
