"""Which graph convolution? The four of the paper, five of PyG's own through the same swap, and one confound.

    uv run python examples/ablate_operators.py                     # digits, about ten minutes on two cores
    uv run python examples/ablate_operators.py --data imagenette --images-per-class 150 --epochs 10 \
        --only mr mr-blocks edge edge-interleaved sage gatv2       # under half an hour

The published code gives the linear layers of all operators four heads, but not the same channels: Max-Relative
interleaves nodes and maxima (x1 m1 x2 m2 ...), so that each head sees both, while Edge and GraphSAGE put them in
blocks (x1 x2 ... m1 m2 ...), so that two heads see only the node and two only its neighbors. A comparison of these
operators is therefore also one of channel orders. `mr-blocks`, `edge-interleaved` and `sage-interleaved` separate the
two: the same operator, the other order. They run on PyG's general path, so compare their accuracy, not their speed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from ablation import Variant, changed, main
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, GENConv, GraphConv, SAGEConv, TransformerConv

from vig_pyg import conv

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

    def forward(self, x: Nodes, edge_index: Tensor) -> Tensor:
        return F.gelu(self.norm(self.operator(x, edge_index)))


def of_pyg(name: str, operator: Any, **options: Any) -> Variant:
    """A variant with one of PyG's operators."""
    about = f"PyG's {operator.__name__}, BN, GELU"
    return changed(name, about, conv=lambda i, o: Updated(operator(i, o, **options), o))


def variants(model: str) -> list[Variant]:  # noqa: ARG001  (all models take all operators)
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
    ]


if __name__ == "__main__":
    main(__doc__ or "", variants, script=__file__, epochs=5)
