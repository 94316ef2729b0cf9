"""The floor: a network without its graph. What a model takes beyond this is the price of search and aggregation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg import VisionGNN


class NoGraph(nn.Module):
    """Builds a graph without edges."""

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return x.new_empty(2, 0, dtype=torch.long)


class NoAggregation(nn.Module):
    """Max-Relative with each node in place of its neighbors' maximum: the same linear layers on the same widths."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, x: Tensor | tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        x = x if isinstance(x, Tensor) else x[1]
        return self.mlp(torch.stack([x, x], dim=2).flatten(1))


def strip_graphs(model: VisionGNN) -> VisionGNN:
    """The model with search and aggregation left out, in place."""
    for grapher in model.graphers():
        grapher.graph = NoGraph()
        grapher.conv = NoAggregation(grapher.conv.mlp)
    return model
