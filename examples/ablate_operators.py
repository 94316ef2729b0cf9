"""Which graph convolution? The four of the paper, PyG's own through the same swap, attributes of edges, and a confound.

    uv run python examples/ablate_operators.py                     # digits, about ten minutes on two cores
    uv run python examples/ablate_operators.py --data imagenette --images-per-class 150 --epochs 10 \
        --only mr mr-blocks edge edge-interleaved sage gatv2       # under half an hour

The published code gives the linear layers of all operators four heads, but not the same channels: Max-Relative
interleaves nodes and maxima (x1 m1 x2 m2 ...), so that each head sees both, while Edge and GraphSAGE put them in
blocks (x1 x2 ... m1 m2 ...), so that two heads see only the node and two only its neighbors. A comparison of these
operators is therefore also one of channel orders. `mr-blocks`, `edge-interleaved` and `sage-interleaved` separate the
two: the same operator, the other order. They run on PyG's general path, so compare their accuracy, not their speed.

Variants named after an attribute (`gatv2-rank`, `gatv2-offset`, `gmm-offset`, `spline-offset`, `threshold-distance`)
have a graph that returns it with every edge: compare `gatv2-rank` with `gatv2`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from ablation import Variant, changed, main
from torch import Tensor, nn
from torch_geometric.nn import (
    GATv2Conv,
    GENConv,
    GMMConv,
    GraphConv,
    MessagePassing,
    SAGEConv,
    SplineConv,
    TransformerConv,
)
from torch_geometric.typing import WITH_SPLINE

from vig_pyg import DilatedKNN, conv
from vig_pyg.graph import EdgeAttr

Nodes = Tensor | tuple[Tensor, Tensor]


def interleave(a: Tensor, b: Tensor) -> Tensor:
    """Channels a1 b1 a2 b2 ..., `(N, C)` twice to `(N, 2 C)`."""
    return torch.stack([a, b], dim=2).flatten(1)


class MaxRelativeBlocks(conv.MaxRelativeConv):
    """Max-Relative with channels in blocks."""

    def forward(self, x: Nodes, edge_index: Tensor) -> Tensor:
        x_src, x_dst = self.pair(x)
        return self.mlp(torch.cat([x_dst, self.propagate(edge_index, x=(x_src, x_dst))], dim=1))


class EdgeInterleaved(conv.EdgeConv):
    """EdgeConv with channels interleaved."""

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return self.mlp(interleave(x_i, x_j - x_i))


class SAGEInterleaved(conv.GraphSAGEConv):
    """GraphSAGE with channels interleaved."""

    def forward(self, x: Nodes, edge_index: Tensor) -> Tensor:
        x_src, x_dst = self.pair(x)
        return self.mlp(interleave(x_dst, self.propagate(edge_index, x=(x_src, x_dst))))


class Updated(nn.Module):
    """An operator of PyG with what ends ours: batch norm and GELU."""

    def __init__(self, operator: nn.Module, channels: int) -> None:
        super().__init__()
        self.operator = operator
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Nodes, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        more = {} if edge_attr is None else {"edge_attr": edge_attr}
        return F.gelu(self.norm(self.operator(x, edge_index, **more)))


class SoftThreshold(MessagePassing):
    """Means of differences, each weighted by a learned soft threshold on the distance in feature space.

    The search chooses neighbors without a gradient, but the distance has one, so that the threshold can pull features
    together or push them apart.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(aggr="mean")
        self.lin = nn.Linear(2 * in_channels, out_channels)
        self.threshold = nn.Parameter(torch.tensor(0.5))
        self.slope = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Nodes, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
        weight = torch.sigmoid(self.slope * (self.threshold - edge_attr))
        return self.lin(torch.cat([x_dst, self.propagate(edge_index, x=(x_src, x_dst), weight=weight)], dim=1))

    def message(self, x_i: Tensor, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight * (x_j - x_i)


def of_pyg(name: str, operator: Any, **options: Any) -> Variant:
    """A variant with one of PyG's operators."""
    about = f"PyG's {operator.__name__}, BN, GELU"
    return changed(name, about, conv=lambda i, o: Updated(operator(i, o, **options), o))


def of_edges(model: str, name: str, about: str, operator: Any, attr: EdgeAttr, **options: Any) -> Variant:
    """A variant whose operator receives an attribute of every edge."""
    position = "official" if model.startswith("pvig") else None
    return changed(
        name,
        f"{about}, {attr.replace('_', ' ')} of neighbors, BN, GELU",
        conv=lambda i, o: Updated(operator(i, o, **options), o),
        graph=lambda k, dilation: DilatedKNN(k, dilation, position=position, edge_attr=attr),
    )


def with_edges(model: str) -> list[Variant]:
    """A row for each attribute of edges; SplineConv needs pyg-lib."""
    gat = {"edge_dim": 1, "add_self_loops": False}
    found = [
        of_edges(model, "gatv2-rank", "PyG's GATv2Conv", GATv2Conv, "rank", **gat),
        of_edges(model, "gatv2-offset", "PyG's GATv2Conv", GATv2Conv, "offset", **{**gat, "edge_dim": 2}),
        of_edges(model, "gmm-offset", "PyG's GMMConv", GMMConv, "offset", dim=2, kernel_size=2),
        of_edges(model, "threshold-distance", "a soft threshold", SoftThreshold, "distance"),
    ]
    if WITH_SPLINE:
        spline = of_edges(model, "spline-offset", "PyG's SplineConv", SplineConv, "unit_offset", dim=2, kernel_size=3)
        found.append(spline)
    return found


def variants(model: str) -> list[Variant]:
    return [
        changed("mr", "Max-Relative, channels interleaved, as published", conv="mr"),
        changed("mr-blocks", "Max-Relative, channels in blocks", conv=MaxRelativeBlocks),
        changed("edge", "EdgeConv, channels in blocks, as published", conv="edge"),
        changed("edge-interleaved", "EdgeConv, channels interleaved", conv=EdgeInterleaved),
        changed("sage", "GraphSAGE (max), channels in blocks, as published", conv="sage"),
        changed("sage-interleaved", "GraphSAGE (max), channels interleaved", conv=SAGEInterleaved),
        changed("gin", "GIN, as published", conv="gin"),
        of_pyg("gatv2", GATv2Conv, add_self_loops=False),  # the graph has each patch as its own neighbor already
        of_pyg("transformer", TransformerConv),
        of_pyg("gen", GENConv),
        of_pyg("pyg-sage", SAGEConv),
        of_pyg("graphconv", GraphConv),
        *with_edges(model),
    ]


if __name__ == "__main__":
    main(__doc__ or "", variants, script=__file__, epochs=5)
