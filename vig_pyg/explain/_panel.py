"""Helpers of the figures: checks of the arguments, selection of layers, and drawing of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg._palette import DARK_PART, ORDERED
from vig_pyg.image_io import AnyImage, as_image, plain_array, with_channels

#: Largest number of layers in a figure; from a deeper model, this many evenly spaced layers are shown.
MOST_PANELS = 12
#: Width of a figure in inches.
_FULL_WIDTH = 10.4
#: Opacity of filled neighbors, and the share of the image that they may cover before it is reduced.
OPACITY, CLEAR = 0.5, 0.25


def pixels_of(image: AnyImage) -> Tensor:
    """Return pixels in [0, 1], `(3, H, W)` or `(1, H, W)`, or raise `ValueError` for another shape."""
    if not isinstance(image, Tensor):
        found = as_image(image)
        # (H, W, 3) -> (3, H, W)
        array = plain_array(found if isinstance(found, np.ndarray) else np.asarray(with_channels(found, 3)))
        pixels = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(array).transpose(2, 0, 1)))
        image = pixels / 255 if pixels.dtype == torch.uint8 else pixels.float()
    if image.dim() != 3 or image.size(0) not in (1, 3):
        raise ValueError(f"Expected an image (3, H, W) or (1, H, W), got {tuple(image.shape)}.")
    return image


def check_graphs(graphs: Sequence[Batch]) -> None:
    """Raise `ValueError` unless `graphs` are the graphs of one image."""
    if not graphs or any(batch.num_graphs != 1 for batch in graphs):
        raise ValueError("Expected the graphs of one image: call model.graphs(image[None]).")
    if any("grid_size" not in batch for batch in graphs):
        raise ValueError("Expected graphs over grids of patches, got point sets (without `grid_size`).")


def check_place(patch: tuple[float, float]) -> None:
    """Raise `ValueError` if the position is outside the image."""
    if not all(0 <= place < 1 for place in patch):
        raise ValueError(f"patch must be (row, column) as fractions of the image in [0, 1), got {patch}.")


def thinned(count: int) -> list[int]:
    """Return the indices of the layers to show."""
    if count <= MOST_PANELS:
        return list(range(count))
    return [round(i * (count - 1) / (MOST_PANELS - 1)) for i in range(MOST_PANELS)]


def panel_layout(count: int, height: int, width: int) -> tuple[int, float, float]:
    """Return the number of columns, and the width and height in inches of a panel, for images of any shape.

    Wide images are below each other and tall images are side by side, so that none is drawn as a thin line.
    """
    aspect = min(max(width / height, 0.25), 8.0)
    across = round(4 / aspect) if aspect > 1.6 else round(4 / max(aspect, 0.5)) if aspect < 0.6 else 4
    columns = min(max(1, across), count)
    panel = _FULL_WIDTH / max(1, across)
    return columns, panel, panel / aspect if across != 4 else panel


def single_size(height: int, width: int) -> tuple[float, float]:
    """Return the width and height in inches of a single panel for an image of any shape, without its title."""
    aspect = min(max(width / height, 0.25), 8.0)
    if 0.6 <= aspect <= 1.6:
        return 6.4, 6.1
    return (_FULL_WIDTH, _FULL_WIDTH / aspect) if aspect > 1 else (max(3.6, 7 * aspect), 7.0)


def show_image(axes: Any, image: Tensor) -> None:
    """Draw the image in pixel coordinates, without ticks."""
    height, width = image.shape[1:]
    axes.imshow(image.permute(1, 2, 0).expand(-1, -1, 3).cpu().numpy(), extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])


def rank_colors(ranks: Sequence[float], most: float) -> Any:
    """Return a color `(N, 4)` for each rank, the first darkest; all are dark enough for a white background."""
    from matplotlib import colormaps

    return colormaps[ORDERED]([DARK_PART * rank / max(most, 1) for rank in ranks])


def outlined(width: float, color: str = "white") -> list[Any]:
    """Return the path effects that draw a line with an outline, so that it is visible on dark and bright images."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=color)]


def pale(image: Tensor) -> Tensor:
    """Convert the image to light gray, so that drawings on it are visible everywhere."""
    return 0.5 + 0.5 * image.mean(0, keepdim=True)


def cell(graph: Any, source: int) -> tuple[int, int, int, int]:
    """Row, column, height and width of a source in patches; a pooled cell at the border can be smaller."""
    rows, columns = graph.grid_size
    ratio = int(graph.reduce_ratio)
    row, column = (ratio * place for place in divmod(source, -(-columns // ratio)))
    return row, column, min(ratio, rows - row), min(ratio, columns - column)


def by_distance(graph: Any) -> bool:
    """True if the sources of each patch are sorted by distance; the edges of other graphs have any order."""
    return bool(getattr(graph, "by_distance", False))


def fill_opacity(areas: Sequence[float], whole: float) -> float:
    """Opacity of filled neighbors: less where they cover much of the image, which would otherwise be dark all over."""
    covered = sum(areas) / whole
    return OPACITY * min(1.0, CLEAR / covered) if covered else OPACITY


def _has_loops(edge_index: Tensor, num_nodes: int, target: int | None) -> bool:
    """True if the patch, or without one every patch, is a neighbor of itself."""
    own = edge_index[1, edge_index[0] == edge_index[1]]
    return bool((own == target).any()) if target is not None else len(own.unique()) == num_nodes > 0


def layer_title(graph: Any, layer: int, target: int | None = None) -> str:
    """The title of a panel: the number of the layer, from 1, and what its edges are."""
    degrees = torch.bincount(graph.edge_index[1], minlength=graph.pos.size(0))
    fewest, most = int(degrees.min()), int(degrees.max())
    shown = f"{fewest} to {most}"
    if target is not None or fewest == most:
        shown = str(most if target is None else int(degrees[target]))
    # k and dilation are settings of the model, which builders of other graphs ignore
    dilation = int(graph.dilation) if by_distance(graph) and fewest == most == int(graph.k) else 1
    ratio = int(graph.reduce_ratio)
    options = [f"dilation {dilation}"] * (dilation > 1) + [f"sources pooled {ratio} x {ratio}"] * (ratio > 1)
    head = f"layer {layer + 1}: {shown} {'neighbor' if shown == '1' else 'neighbors'}"
    if ratio == 1 and _has_loops(graph.edge_index, len(degrees), target):
        head += " with itself"
    return "\n".join([head, ", ".join(options)] if options else [head])
