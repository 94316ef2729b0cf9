"""Drawing of the neighbors of one patch in each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg._figure import figure
from vig_pyg._palette import MARK
from vig_pyg.explain._panel import (
    OPACITY,
    by_distance,
    cell,
    check_graphs,
    check_place,
    fill_opacity,
    layer_title,
    outlined,
    panel_layout,
    pixels_of,
    rank_colors,
    show_image,
    thinned,
)
from vig_pyg.image_io import AnyImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Smallest width of a figure in inches: that of the legend in three lines, and about half of that in one line.
_NARROW = 2.6


def draw_graph(image: AnyImage, graphs: Sequence[Batch], *, patch: tuple[float, float] = (0.5, 0.5)) -> Figure:
    """Draw the neighbors of one patch in each layer, as in figure 5 of Vision GNN (arXiv 2206.00272).

    The patch has an orange outline. Its neighbors are filled, the nearest one darkest; in `"knn"` graphs without pooled
    sources, the nearest is the patch itself. In graphs that are not sorted by distance, such as `"grid"` and your own,
    the source of the first edge is the darkest. If the sources are pooled, a neighbor is a larger cell. All outlines
    have a white or black border, so they are visible on every image. Where neighbors cover much of the image, their
    fills are lighter, so the image remains visible.

    Args:
        image: Pixels in [0, 1], `(3, H, W)` or `(1, H, W)`; or a PIL image, a path or an array (see
            `vig_pyg.image_io.as_image`). The grid of patches covers the whole image.
        graphs: The result of `model.graphs(images)` for this image alone.
        patch: Position (row, column) of the patch, as fractions of the height and the width in [0, 1).

    Shapes: image `(3, H, W)` or `(1, H, W)`; graphs of one image.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If the position is outside the image, if the image has another shape, or if there is more than one
            image.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> from vig_pyg import vig_micro
        >>> len(draw_graph(torch.rand(3, 32, 32), vig_micro().eval().graphs(torch.rand(1, 3, 32, 32))).axes)
        4
    """
    pixels = pixels_of(image)
    check_place(patch)
    check_graphs(graphs)
    shown = thinned(len(graphs))
    columns, wide, high = panel_layout(len(shown), *pixels.shape[1:])
    rows = -(-len(shown) // columns)
    size = max(columns * wide, _NARROW)
    lines = 1 if size > 2 * _NARROW - 1 else 3
    legend = 0.4 if lines == 1 else 0.8  # inches
    fig = figure(size, (high + 0.3) * rows + legend)
    grid = fig.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.remove()
    counts = [
        _draw_layer(axes, pixels, graphs[layer].get_example(0), patch, layer)
        for axes, layer in zip(grid, shown, strict=False)
    ]
    is_sorted = all(by_distance(graphs[layer].get_example(0)) for layer in shown)
    _add_legend(fig, max(counts), is_sorted=is_sorted, lines=lines)
    return fig


def _add_legend(fig: Figure, neighbors: int, *, is_sorted: bool, lines: int) -> None:
    """Explain the outline and the colors below the panels, for the largest number of neighbors in a panel."""
    from matplotlib.patches import Patch

    ends = ["nearest neighbor", "farthest neighbor"] if is_sorted else ["first edge", "last edge"]
    labels = [[], ["its neighbor"], [f"its {end}" for end in ends]][min(neighbors, 2)]
    handles = [Patch(fill=False, edgecolor=MARK, linewidth=1.8, label="the patch")]
    for color, label in zip(rank_colors((0, 1), 1), labels, strict=False):
        handles.append(Patch(facecolor=(*color[:3], OPACITY), edgecolor=color, label=label))
    fig.legend(handles=handles, loc="outside lower center", ncols=3 // lines, frameon=False, fontsize=8)


def _draw_layer(axes: Any, image: Tensor, graph: Any, patch: tuple[float, float], layer: int) -> int:
    """Draw a panel, and return the number of neighbors in it."""
    from matplotlib.patches import Rectangle

    height, width = image.shape[1:]
    h, w = graph.grid_size
    row, column = int(patch[0] * h), int(patch[1] * w)
    neighbors = graph.edge_index[0, graph.edge_index[1] == row * w + column].tolist()
    tall, wide = height / h, width / w  # of a patch, in pixels
    show_image(axes, image)
    colors = rank_colors(range(len(neighbors)), len(neighbors) - 1)
    cells = [cell(graph, source) for source in neighbors]
    opacity = fill_opacity([high * broad for _, _, high, broad in cells], h * w)
    for color, (r, c, high, broad) in zip(colors, cells, strict=True):
        place = (c * wide, r * tall), broad * wide, high * tall
        look = {"facecolor": (*color[:3], opacity), "edgecolor": color, "linewidth": 1.0}
        axes.add_patch(Rectangle(*place, **look, path_effects=outlined(2.4)))
    place = (column * wide, row * tall), wide, tall
    effects = [*outlined(4.4, "black")[:1], *outlined(3.4)]
    axes.add_patch(Rectangle(*place, fill=False, edgecolor=MARK, linewidth=1.8, path_effects=effects))
    axes.set_title(layer_title(graph, layer, row * w + column), fontsize=8)
    return len(neighbors)
