"""What a graph builder takes and gives."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from vig_pyg.data import Layout


class Builder(Protocol):
    """Makes the edges of one Grapher.

    `x (N, C)` are the targets, `x_src (M, C)` the sources; they are the same objects where nothing is pooled.
    Returns `edge_index (2, E)`: row 0 indexes sources (neighbors), row 1 targets (centers), sorted by target,
    nearest neighbor first. No edge may join two images.
    """

    def __call__(self, x: Tensor, layout: Layout, x_src: Tensor, layout_src: Layout) -> Tensor: ...


class GraphFactory(Protocol):
    """Makes the builder of one Grapher from its number of neighbors and its dilation."""

    def __call__(self, k: int, dilation: int) -> Builder: ...
