"""Graphs by loops over cells, for comparison, and batches to try builders on."""

import torch

from vig_pyg.data import BatchLayout

#: One size, several sizes, one patch, one row.
BATCHES = [[(4, 6), (4, 6)], [(4, 4), (3, 5), (6, 6)], [(1, 1), (1, 7)]]


def inputs(sizes, ratio=1, channels=8):
    """What a builder is given: targets and sources with their layouts."""
    layout = BatchLayout.from_sizes(sizes)
    small = layout.pooled(ratio)
    x = torch.randn(layout.num_nodes, channels, dtype=torch.float64)
    return x, layout, (x if ratio == 1 else torch.randn(small.num_nodes, channels, dtype=torch.float64)), small


def free(counts=(3, 5), channels=8):
    """A batch of free points, without grids."""
    batch = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    ptr = torch.tensor([0, *counts]).cumsum(0)
    layout = BatchLayout(torch.rand(sum(counts), 2), batch, ptr, counts, None)
    x = torch.randn(sum(counts), channels)
    return x, layout, x, layout


def neighbors(edges, num_targets):
    """The sources of each target, in their order."""
    return [edges[0, edges[1] == i].tolist() for i in range(num_targets)]


def drawn(layout, layout_src, linked):
    """Sources of each target by loops: `linked(row, column)` of the way from the target's cell; nearest first."""
    found, ratio = [], layout_src.ratio
    for i, ((h, w), (hs, ws)) in enumerate(zip(layout.grid_sizes, layout_src.grid_sizes, strict=True)):
        first = sum(layout_src.num_nodes_per_graph[:i])
        for r in range(h):
            for c in range(w):
                ways = [(y - r // ratio, x - c // ratio) for y in range(hs) for x in range(ws)]
                rank = sorted((dy * dy + dx * dx, dy, dx) for dy, dx in ways if linked(dy, dx))
                cells = [(r // ratio + dy, c // ratio + dx) for _, dy, dx in rank]
                found.append([first + y * ws + x for y, x in cells])
    return found
