"""Pictures of the graphs that a model builds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg._plot import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: More layers than this are thinned out evenly, first and last kept.
MOST_PANELS = 12


def draw_graph(image: Tensor, graphs: Sequence[Batch], *, patch: tuple[float, float] = (0.5, 0.5)) -> Figure:
    """The neighbours of one patch in each layer, on the image (as figure 5 of Vision GNN, arXiv 2206.00272).

    The patch is outlined in red; its neighbours are filled, the nearest darkest. Where sources are pooled a
    neighbour is a larger cell.

    Args:
        image: Pixels in [0, 1], `(3, H, W)` or `(1, H, W)`.
        graphs: `model.graphs(images)` for this image alone.
        patch: Place (row, column) of the patch as shares of height and width, in [0, 1).

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If the place is outside, the image has another form, or there is more than one image.
        ImportError: If matplotlib is missing.

    Example:
        >>> import torch
        >>> from vig_pyg import vig_micro
        >>> len(draw_graph(torch.rand(3, 32, 32), vig_micro().eval().graphs(torch.rand(1, 3, 32, 32))).axes)
        4
    """
    if image.dim() != 3 or image.size(0) not in (1, 3):
        raise ValueError(f"Expected an image (3, H, W) or (1, H, W), got {tuple(image.shape)}.")
    if not all(0 <= place < 1 for place in patch):
        raise ValueError(f"patch is a place (row, column) in shares of the image, each in [0, 1), got {patch}.")
    if any(batch.num_graphs != 1 for batch in graphs) or not graphs:
        raise ValueError("Expected the graphs of one image: call model.graphs(image[None]).")
    shown = _thinned(len(graphs))
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    fig = figure(2.6 * columns, 2.75 * rows)
    grid = fig.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, layer in zip(grid, shown, strict=False):
        _draw_layer(axes, image, graphs[layer].get_example(0), patch, layer)
    return fig


def _thinned(count: int) -> list[int]:
    if count <= MOST_PANELS:
        return list(range(count))
    return [round(i * (count - 1) / (MOST_PANELS - 1)) for i in range(MOST_PANELS)]


def _draw_layer(axes: Any, image: Tensor, graph: Any, patch: tuple[float, float], layer: int) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    height, width = image.shape[1:]
    h, w = graph.grid_size
    row, column = int(patch[0] * h), int(patch[1] * w)
    neighbors = graph.edge_index[0, graph.edge_index[1] == row * w + column]
    tall, wide, ratio = height / h, width / w, int(graph.reduce_ratio)  # of a patch, in pixels
    axes.imshow(image.permute(1, 2, 0).expand(-1, -1, 3).cpu().numpy(), extent=(0, width, height, 0))
    colours = colormaps["viridis"]
    for rank, source in enumerate(neighbors.tolist()):
        r, c = graph.pos_src[source].tolist()  # the centre of a cell, in patches
        corner = ((c + 0.5 - ratio / 2) * wide, (r + 0.5 - ratio / 2) * tall)
        colour = colours(rank / max(len(neighbors) - 1, 1))
        size = ratio * wide, ratio * tall
        axes.add_patch(Rectangle(corner, *size, facecolor=(*colour[:3], 0.55), edgecolor=colour, linewidth=0.8))
    axes.add_patch(Rectangle((column * wide, row * tall), wide, tall, fill=False, edgecolor="red", linewidth=1.8))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    pooled = f", pooled {ratio} x {ratio}" if ratio > 1 else ""
    axes.set_title(f"layer {layer + 1}: k {int(graph.k)}, dilation {int(graph.dilation)}{pooled}", fontsize=8)
