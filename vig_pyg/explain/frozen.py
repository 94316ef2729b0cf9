"""A model that keeps the graphs it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from vig_pyg.data import Layout
from vig_pyg.models import VisionGNN
from vig_pyg.ops import checked_edges


class FixedGraph(nn.Module):
    """A graph builder that gives the same edges each time.

    Args:
        edge_index: The edges `(2, E)`, sorted by target.

    Raises:
        TypeError: If they are no dense tensor of int64 or int32.
        ValueError: If they have another shape, or the nodes it is called with are fewer than those of the edges.
    """

    def __init__(self, edge_index: Tensor) -> None:
        super().__init__()
        self.edge_index = edge_index

    def forward(self, x: Tensor, layout: Layout, x_src: Tensor, layout_src: Layout) -> Tensor:  # noqa: ARG002
        edge_index = checked_edges(self.edge_index, x.device, "The fixed graph")
        if edge_index.numel():
            source, target = edge_index.amax(1).tolist()
            if source >= layout_src.num_nodes or target >= layout.num_nodes:
                raise ValueError(
                    f"These edges go from source {source} to target {target}, but the images have "
                    f"{layout_src.num_nodes} sources and {layout.num_nodes} targets: use the graphs of these images."
                )
        return edge_index


@contextmanager
def frozen_graphs(model: VisionGNN[Any], edges: Sequence[Tensor]) -> Iterator[None]:
    """Within this context the model uses these edges and searches for none; afterwards it is as before.

    Args:
        model: The model.
        edges: One `edge_index (2, E)` for each Grapher, of the whole batch:
            `[graph.edge_index for graph in model.graphs(images)]`.

    Raises:
        ValueError: If there are not as many as the model has Graphers.

    Example:
        >>> import torch
        >>> from vig_pyg import vig_micro
        >>> model, images = vig_micro().eval(), torch.rand(1, 3, 32, 32)
        >>> edges = [graph.edge_index for graph in model.graphs(images)]
        >>> with frozen_graphs(model, edges):
        ...     logits = model(images)
    """
    graphers = model.graphers()
    if len(edges) != len(graphers):
        raise ValueError(f"Expected the edges of {len(graphers)} Graphers, got {len(edges)}.")
    builders = [grapher.graph for grapher in graphers]
    try:
        for grapher, edge_index in zip(graphers, edges, strict=True):
            grapher.graph = FixedGraph(edge_index)
        yield
    finally:
        for grapher, builder in zip(graphers, builders, strict=True):
            grapher.graph = builder
