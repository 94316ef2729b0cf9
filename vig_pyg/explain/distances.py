"""Distances on the image between patches and their neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg._figure import figure
from vig_pyg._palette import ORANGE, SKY
from vig_pyg.explain._panel import layer_title, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def edge_ranks(target: Tensor) -> Tensor:
    """Return the rank of each edge among the edges of its target; the nearest neighbor has rank 0.

    Args:
        target: Targets of the edges, `edge_index[1]`, `(E,)`, in ascending order. The edges of each target start with
            the nearest source.

    Shapes: `(2, E)` to `(E,)`.

    Example:
        >>> edge_ranks(torch.tensor([0, 0, 0, 2, 2])).tolist()
        [0, 1, 2, 0, 1]
    """
    index = torch.arange(len(target), device=target.device)
    return index - torch.searchsorted(target.contiguous(), target.contiguous())


def neighbor_distances(graphs: Sequence[Batch], *, patch_size: float = 1.0) -> list[Tensor]:
    r"""Compute the distance on the image between each patch and each of its neighbors, for every layer.

    .. math:: d_{ij} = \lVert p_i - p_j \rVert_2

    where p are the centers of the patches, or of the pooled cells if the sources are pooled. (Vision GNN,
    arXiv 2206.00272, figure 5, shows the effect for single patches.) All layers have the same unit, so the stages of a
    pyramid can be compared.

    Args:
        graphs: The result of `model.graphs(images)`, for one or more images.
        patch_size: Side length in pixels of a patch in the first layer (`model.config.patch_size`), for distances in
            pixels. By default the unit is one patch of the first layer.

    Shapes: a layer with `edge_index (2, E)` to distances `(E,)`.

    Returns:
        One tensor `(E,)` per layer, in the order of its `edge_index`. The distance of a patch to itself is 0.

    Raises:
        ValueError: If there are no graphs, or their nodes are a point set without a grid.

    Example:
        >>> from vig_pyg import vig_micro
        >>> [len(d) for d in neighbor_distances(vig_micro().eval().graphs(torch.rand(1, 3, 64, 64)))]
        [2304, 2304, 2304, 2304]
    """
    scales = _patch_sides(graphs)
    distances = []
    for batch, scale in zip(graphs, scales, strict=True):
        source, target = batch.edge_index
        apart = (batch.pos[target] - batch.pos_src[source]) * scale[batch.batch[target]]
        distances.append(patch_size * apart.norm(dim=1))
    return distances


def draw_distances(graphs: Sequence[Batch], *, patch_size: int | None = None) -> Figure:
    """Draw a histogram of the distances between patches and their neighbors for each layer.

    The line in each panel is the histogram over all pairs of patch and source in the first image. Bars above the line
    at small distances mean that the layer prefers near patches. Edges from a patch to itself are omitted.

    Args:
        graphs: The result of `model.graphs(images)`, for one or more images.
        patch_size: Side length in pixels of a patch in the first layer (`model.config.patch_size`), for an axis in
            pixels. By default the unit is one patch of the first layer.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there are no graphs, or their nodes are a point set without a grid.
        ImportError: If matplotlib is not installed.

    Example:
        >>> from vig_pyg import vig_micro
        >>> len(draw_distances(vig_micro().eval().graphs(torch.rand(1, 3, 64, 64))).axes)
        4
    """
    unit = patch_size or 1
    found = neighbor_distances(graphs, patch_size=unit)
    scales = _patch_sides(graphs)
    shown = thinned(len(graphs))
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    legend, label = 0.3 if columns > 1 else 0.6, 0.2  # inches, one below the other: the layout would not part them
    height = 1.9 * rows + 0.2 + label + legend
    fig = figure(2.8 * columns, height)
    fig.set_layout_engine("constrained", rect=(0, (legend + label) / height, 1, 1 - (legend + label) / height))
    grid = fig.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, layer in zip(grid, shown, strict=False):
        graph = graphs[layer].get_example(0)
        side = unit * scales[layer][0]  # (2,), height and width of a patch
        pairs = torch.cdist(graph.pos * side, graph.pos_src * side).flatten()
        _draw_histogram(axes, found[layer], pairs, float(side.mean()) * int(graph.reduce_ratio))
        axes.set_title(layer_title(graph, layer), fontsize=8)
    unit_name = "pixels" if patch_size else "patches of the first layer"
    fig.supxlabel(f"distance in {unit_name}", y=legend / height, fontsize=9)
    _add_legend(fig, columns=3 if columns > 1 else 1)
    fig.supylabel("share of edges, %", fontsize=9)
    return fig


def _add_legend(fig: Figure, *, columns: int) -> None:
    """Explain the bars and lines of all panels below them; a layer without neighbors has no median."""
    entries: dict[str, Any] = {}
    for axes in fig.axes:
        entries |= {label: entry for entry, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    style: dict[str, Any] = {"ncols": columns, "fontsize": 8, "frameon": False, "handlelength": 1.4}
    legend = fig.legend(list(entries.values()), list(entries), loc="lower center", **style, borderaxespad=0.2)
    legend.set_in_layout(False)  # its place is outside the rectangle of the panels


def _draw_histogram(axes: Any, distance: Tensor, pairs: Tensor, width: float) -> None:
    """Draw bars as wide as one source, because narrower bars would show the spacing of the grid."""
    farthest = max(float(distance.max()), float(pairs.max()))
    bins = int(farthest / width + 0.5) + 1
    edges = (torch.arange(bins + 1) - 0.5).clamp_min(0) * width
    shares = []
    for d in (distance, pairs):
        index = (d[d > 0] / width + 0.5).long().cpu()
        shares.append(100 * torch.bincount(index, minlength=bins) / max(len(index), 1))
    axes.stairs(shares[0].numpy(), edges.numpy(), fill=True, color=SKY, label="neighbors")
    axes.stairs(shares[1].numpy(), edges.numpy(), color="0.4", linewidth=1.2, label="all pairs")
    if (distance > 0).any():
        median = float(distance[distance > 0].median())
        axes.axvline(median, color=ORANGE, linewidth=1.2, linestyle="--", label="median of neighbors")
    else:  # a grid of one patch
        axes.text(0.5, 0.5, "no other patch", ha="center", va="center", fontsize=8, transform=axes.transAxes)
        axes.set_ylim(0, 1)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _patch_sides(graphs: Sequence[Batch]) -> list[Tensor]:
    """Height and width of a patch in each layer, in patches of the first layer, for each image: `(B, 2)`."""
    if not graphs:
        raise ValueError("Got no graphs: pass what model.graphs(images) returns.")
    if any("grid_size" not in batch for batch in graphs):
        raise ValueError("Expected graphs over grids of patches, got point sets (without `grid_size`).")
    grids = [torch.tensor([list(size) for size in batch.grid_size], device=batch.pos.device) for batch in graphs]
    return [grids[0] / grid for grid in grids]
