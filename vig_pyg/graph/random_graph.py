"""The random graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vig_pyg.data import Layout


class RandomGraph(nn.Module):
    r"""k different random patches of the same image for each patch, new ones in every pass.

    .. math:: \mathcal{N}(i) \sim \mathrm{Uniform}\{ S \subseteq \{1, \dots, m\} : |S| = k \}

    (a random directed graph of fixed degree: what is left of a graph that knows nothing). Drawn from torch's generator
    of the device, so `torch.manual_seed` makes it repeatable; in evaluation too, where the logits of an image
    therefore vary from pass to pass. Subsets are drawn by Floyd's method (Bentley and Floyd, CACM 30, 1987).

    Args:
        k: Neighbours of each patch, at least 1; an image with fewer nodes gives all of them.

    Shapes: `x (N, C)` and sources `x_src (M, C)` to `edge_index (2, E)`: row 0 sources, row 1 targets, sorted by
    target, in no order of distance.

    Raises:
        ValueError: If `k` is below 1, or an image has no node.

    Example:
        >>> x = torch.rand(18, 8); layout = Layout.from_sizes([(3, 3), (3, 3)])
        >>> RandomGraph(2)(x, layout, x, layout).shape
        torch.Size([2, 36])
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}.")
        self.k = k

    def forward(self, x: Tensor, layout: Layout, x_src: Tensor, layout_src: Layout) -> Tensor:  # noqa: ARG002
        layout.check_filled(layout_src)
        device = layout.pos.device
        nodes = torch.tensor(layout_src.counts, device=device)[layout.batch]  # m of each target's image
        most = min(self.k, max(layout_src.counts))
        degree = nodes.clamp_max(most)
        chosen = torch.full((layout.num_nodes, most), -1, device=device)
        for i in range(most):
            last = (nodes - degree + i).clamp_max(nodes - 1)  # this step chooses among 0 ... last, or takes `last`
            draw = (torch.rand(layout.num_nodes, dtype=torch.float64, device=device) * (last + 1)).long()
            taken = (chosen[:, :i] == draw.unsqueeze(1)).any(1)
            chosen[:, i] = torch.where(taken, last, draw)
        stays = torch.arange(most, device=device) < degree.unsqueeze(1)
        source = chosen + layout_src.ptr[layout.batch].unsqueeze(1)
        target = torch.arange(layout.num_nodes, device=device).unsqueeze(1).expand_as(source)
        return torch.stack([source, target])[:, stays]

    def extra_repr(self) -> str:
        return f"k={self.k}"
