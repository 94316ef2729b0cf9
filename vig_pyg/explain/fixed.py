"""Evaluation of a model with fixed graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from vig_pyg.data import BatchLayout
from vig_pyg.models import VisionGNN
from vig_pyg.ops import checked_edges


class FixedGraph(nn.Module):
    """A graph builder that always returns the same edges.

    Args:
        edge_index: The edges `(2, E)`, sorted by target.
        edge_attr: Their attributes `(E, D)`, or `None`.

    Shapes: any nodes to `edge_index (2, E)`, or to a pair of it and `edge_attr`.

    Raises:
        TypeError: In `forward`, if the edges are not a dense tensor of int64 or int32.
        ValueError: In `forward`, if the shape is not `(2, E)`, or an edge refers to a node that does not exist.

    Example:
        >>> import torch
        >>> x, layout = torch.rand(2, 8), BatchLayout.from_sizes([(1, 2)])
        >>> FixedGraph(torch.tensor([[1, 0], [0, 1]]))(x, layout, x, layout).tolist()
        [[1, 0], [0, 1]]
    """

    def __init__(self, edge_index: Tensor, edge_attr: Tensor | None = None) -> None:
        super().__init__()
        self.edge_index = edge_index
        self.edge_attr = edge_attr

    def forward(
        self,
        x: Tensor,
        layout: BatchLayout,
        x_src: Tensor,  # noqa: ARG002  (the protocol of builders)
        layout_src: BatchLayout,
    ) -> Tensor | tuple[Tensor, Tensor]:
        edge_index = checked_edges(self.edge_index, x.device, "The fixed graph")
        if edge_index.numel():
            source, target = edge_index.amax(1).tolist()
            if source >= layout_src.num_nodes or target >= layout.num_nodes:
                raise ValueError(
                    f"These edges go from source {source} to target {target}, but the images have "
                    f"{layout_src.num_nodes} sources and {layout.num_nodes} targets: use the graphs of these images."
                )
        return edge_index if self.edge_attr is None else (edge_index, self.edge_attr)


@contextmanager
def fixed_graphs(
    model: VisionGNN[Any], edges: Sequence[Tensor], edge_attrs: Sequence[Tensor | None] | None = None
) -> Iterator[None]:
    """A context in which a model uses the given edges instead of building graphs.

    Args:
        model: The model, which is restored when the context ends.
        edges: One `edge_index (2, E)` of the whole batch for each Grapher, such as
            `[graph.edge_index for graph in model.graphs(images)]`.
        edge_attrs: Their attributes, if the builders of the model return some, such as
            `[graph.edge_attr for graph in model.graphs(images)]`.

    Shapes: edges `(2, E)`; the logits of the model keep their shape.

    Raises:
        ValueError: If the number of tensors is not the number of Graphers.

    Example:
        >>> import torch
        >>> from vig_pyg import vig_micro
        >>> model, images = vig_micro().eval(), torch.rand(1, 3, 32, 32)
        >>> edges = [graph.edge_index for graph in model.graphs(images)]
        >>> with fixed_graphs(model, edges):
        ...     logits = model(images)
    """
    graphers = model.graphers()
    attrs = [None] * len(edges) if edge_attrs is None else edge_attrs
    if len(edges) != len(graphers):
        raise ValueError(f"Expected the edges of {len(graphers)} Graphers, got {len(edges)}.")
    if len(attrs) != len(edges):
        raise ValueError(
            f"Expected the attributes of {len(edges)} Graphers, got {len(attrs)}: pass None for a Grapher without "
            "attributes."
        )
    builders = [grapher.graph for grapher in graphers]
    try:
        for grapher, edge_index, edge_attr in zip(graphers, edges, attrs, strict=True):
            grapher.graph = FixedGraph(edge_index, edge_attr)
        yield
    finally:
        for grapher, builder in zip(graphers, builders, strict=True):
            grapher.graph = builder
