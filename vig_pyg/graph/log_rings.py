"""The logarithmic graph on rings, as in the text of LogViG."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder
from vig_pyg.graph.edge_attr import EdgeAttr
from vig_pyg.graph.registry import register_graph
from vig_pyg.graph.static import StaticGraph, offset_edges


class LogRingGraph(StaticGraph):
    r"""Connects each patch with itself and the patches K - 1, K² - 1, K³ - 1, ... steps away in its row and column.

    .. math:: \mathcal{N}(r, c) = \{ (r, c) \} \cup \{ (r \pm (K^i - 1), c) \} \cup \{ (r, c \pm (K^i - 1)) \},
        \quad i = 1, 2, \dots

    as long as :math:`K^i - 1` is below the height or the width. Each row and each column is closed to a ring, so
    neighbors wrap around the border (Logarithmic Scalable Graph Construction, LogViG, arXiv 2510.13740). `LogGraph`
    has the distances 1, 2, 4, ... instead, and stops at the border.

    Args:
        base: The base K, at least 2; with 2, the default, the distances are 1, 3, 7, 15, ....
        edge_attr: Edge attributes to return together with the edges (see `with_edge_attr`), as one name or several:
            `"rank"`, `"distance"`, `"offset"`, `"unit_offset"`. By default, none are computed.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)` with sources in row 0 and targets in row 1,
    sorted by target, nearest on the rings first. If the sources are pooled, distances are measured in pooled cells.

    Raises:
        ValueError: If `base` is below 2, or the nodes are a point set without a grid.

    Example:
        >>> import torch
        >>> x = torch.rand(8, 8); layout = BatchLayout.from_sizes([(1, 8)])
        >>> LogRingGraph()(x, layout, x, layout)[0, :5].tolist()
        [0, 1, 7, 5, 3]
    """

    def __init__(self, *, base: int = 2, edge_attr: EdgeAttr | Sequence[EdgeAttr] = ()) -> None:
        super().__init__(edge_attr=edge_attr)
        if base < 2:
            raise ValueError(f"base must be at least 2, got {base}.")
        self.base = base

    def image_edges(self, target: BatchLayout, source: BatchLayout) -> Tensor:
        rows, columns = source.grid_sizes[0] if source.grid_sizes else (1, 1)
        found = [(0, 0, 0)]  # the length on the ring, and the offset
        for step in self._steps(max(rows, columns)):
            for sign in (-1, 1):
                found += [(min(step, rows - step), sign * step, 0)] * (step < rows)
                found += [(min(step, columns - step), 0, sign * step)] * (step < columns)
        offsets = [(row, column) for _, row, column in sorted(found)]
        return offset_edges(offsets, target, source, wrap=True)

    def _steps(self, side: int) -> list[int]:
        """Return the distances that are shorter than the side of a grid."""
        steps, power = [], self.base
        while power - 1 < side:
            steps.append(power - 1)
            power *= self.base
        return steps

    def extra_repr(self) -> str:
        return f"base={self.base}"


@register_graph("log_rings")
def _log_rings(k: int, dilation: int) -> Builder:  # noqa: ARG001  (the edges depend on the positions only)
    return LogRingGraph()
