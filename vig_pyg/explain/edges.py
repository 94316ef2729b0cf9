"""Drawing of all edges of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg._figure import figure
from vig_pyg._io.numbers import counted
from vig_pyg.explain._panel import (
    by_distance,
    check_graphs,
    layer_title,
    outlined,
    pale,
    pixels_of,
    rank_colors,
    show_image,
    single_size,
)
from vig_pyg.explain.distances import edge_ranks
from vig_pyg.image_io import AnyImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of lines with a white outline.
_OUTLINED = 400


def draw_all(image: AnyImage, graphs: Sequence[Batch], *, layer: int = -1, nearest: int | None = None) -> Figure:
    """Draw all edges of one layer as lines on the image; lines to the nearest neighbors are the darkest and on top.

    Edges from a patch to itself are omitted. If the sources are pooled, a line ends at the center of a pooled cell.

    Args:
        image: Pixels in [0, 1], `(3, H, W)` or `(1, H, W)`; or a PIL image, a path or an array (see
            `vig_pyg.image_io.as_image`). The grid of patches covers the whole image.
        graphs: The result of `model.graphs(images)` for this image alone.
        layer: Index of the layer, from 0; negative indices count from the end.
        nearest: Number of nearest neighbors to draw for each patch, not counting the patch itself. In graphs that are
            not sorted by distance, these are the sources of its first edges. By default all neighbors are drawn.

    Shapes: image `(3, H, W)` or `(1, H, W)`; graphs of one image.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If `nearest` is below 1, if the image has another shape, or if there is more than one image.
        IndexError: If there is no such layer.
        ImportError: If matplotlib is not installed.

    Example:
        >>> from vig_pyg import vig_micro
        >>> fig = draw_all(torch.rand(3, 32, 32), vig_micro().eval().graphs(torch.rand(1, 3, 32, 32)), nearest=2)
    """
    pixels = pixels_of(image)
    check_graphs(graphs)
    if nearest is not None and nearest < 1:
        raise ValueError(f"nearest is the number of neighbors to draw, at least 1, got {nearest}.")
    if not -len(graphs) <= layer < len(graphs):
        raise IndexError(f"Layer {layer} is out of range: there are {len(graphs)} graphs.")
    layer %= len(graphs)
    width, height = single_size(*pixels.shape[1:])
    fig = figure(width, height + 0.5)
    from matplotlib.collections import LineCollection  # after `figure`, whose error explains how to install matplotlib

    graph = graphs[layer].get_example(0)
    lines, rank = _lines(graph, pixels.shape[1:], nearest)
    axes = fig.subplots()
    show_image(axes, pale(pixels))
    colors = rank_colors(rank.tolist(), max([1, *rank.tolist()]))
    alpha = float(torch.tensor(400 / max(len(lines), 1)).sqrt().clamp(0.1, 0.9))  # keeps thousands of lines readable
    drawn = LineCollection(list(lines.numpy()), colors=colors, alpha=alpha, linewidths=1.1)
    if len(lines) <= _OUTLINED:  # outlines of more lines would cover each other
        drawn.set_path_effects(outlined(2.6))
    axes.add_collection(drawn)
    head, *options = layer_title(graph, layer).split("\n")
    order = "nearest" if by_distance(graph) else "first"
    what = ", ".join([*options, *([] if nearest is None else [f"{nearest} {order} only"])])
    edges = f"{what}: {counted(len(lines), 'edges')}" if what else counted(len(lines), "edges")
    # the index is that of the argument, and the number is that of the other figures and of the page
    axes.set_title(f"graphs[{layer}], {head}\n{edges}", fontsize=10)
    return fig


def _lines(graph: Batch, size: Sequence[int], nearest: int | None) -> tuple[Tensor, Tensor]:
    """Return segments `(E, 2, 2)` between points (x, y) in pixels, the farthest first, and their ranks."""
    source, target = graph.edge_index
    patch = torch.tensor(size) / torch.tensor(tuple(graph.grid_size))
    ends = torch.stack([graph.pos[target].cpu(), graph.pos_src[source].cpu()], dim=1)  # (E, 2, 2)
    itself = (ends[:, 0] == ends[:, 1]).all(1) & (int(graph.reduce_ratio) == 1)
    ends, target = ends[~itself], target.cpu()[~itself]
    rank = edge_ranks(target)
    kept = torch.arange(len(rank)) if nearest is None else (rank < nearest).nonzero().squeeze(1)
    kept = kept[rank[kept].argsort(descending=True, stable=True)]
    return ((ends[kept] + 0.5) * patch).flip(-1), rank[kept]
