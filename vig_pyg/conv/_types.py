"""Types of the arguments of graph convolutions.

Shapes: M sources, N targets, C channels.
"""

from __future__ import annotations

from typing import Any, TypedDict

from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

#: Node features `(N, C)`, or a pair of source features `(M, C)` and target features `(N, C)`.
NodesOrPair = Tensor | tuple[Tensor, Tensor]
#: As `NodesOrPair`; the targets may be `None` if they have no features.
NodesOrOptPair = Tensor | tuple[Tensor, Tensor | None]
#: Numbers of sources and targets, (M, N); each is `None` if it is not known.
Sizes = tuple[int | None, int | None]
#: One width for both sources and targets, or a pair of widths; -1 stands for the width of the first input.
Widths = int | tuple[int, int]


class MessagePassingOptions(TypedDict, total=False):
    """The options of PyG's `MessagePassing` that the operators pass on to it."""

    aggr: str | list[str] | Aggregation | None
    aggr_kwargs: dict[str, Any] | None
    flow: str
    node_dim: int
    decomposed_layers: int
