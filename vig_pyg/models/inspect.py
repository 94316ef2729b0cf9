"""Collection of the graphs that a model builds, as PyG batches."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from vig_pyg.block import Grapher
from vig_pyg.data import BatchLayout
from vig_pyg.graph import Edges, shrink, sound_graph
from vig_pyg.graph.resolver import is_by_distance
from vig_pyg.models.pooled_graph import PooledGraph

if TYPE_CHECKING:
    from vig_pyg.models.base import Images, VisionGNN


class PatchGraph(Data):
    """The graph of one image without pooled sources; `pos` of the targets equals `pos_src` of the sources.

    Example:
        >>> PatchGraph(pos=torch.rand(4, 2), pos_src=torch.rand(4, 2)).num_nodes
        4
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "edge_index":
            return torch.tensor([[self.pos_src.size(0)], [self.pos.size(0)]])
        return super().__inc__(key, value, *args, **kwargs)


def collect_graphs(model: VisionGNN[Any], images: Images | Data) -> list[Batch]:
    """Run one forward pass, and return one batch of `PatchGraph` or `PooledGraph` for each Grapher, in order.

    The pass runs in the current mode of the model (training or evaluation).

    Args:
        images: Images, or a batch of patches, as for `VisionGNN.forward_features`.

    Example:
        >>> from vig_pyg import vig_micro
        >>> len(collect_graphs(vig_micro().eval(), torch.rand(1, 3, 32, 32)))
        4
    """
    found: list[Batch] = []
    handles, here = [], get_ident()
    for grapher in model.graphers():

        def record(builder: Any, inputs: tuple[Any, ...], edges: Edges, grapher: Grapher = grapher) -> None:
            if get_ident() == here:  # forward passes in other threads call this hook too
                x, target, x_src, source = inputs
                sound = sound_graph(edges, builder, x_src, x, layouts=(target, source))
                found.append(_graphs(grapher, target, source, *sound))

        handles.append(grapher.graph.register_forward_hook(record))
    try:
        model.forward_features(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _graphs(
    grapher: Grapher, target: BatchLayout, source: BatchLayout, edge_index: Tensor, edge_attr: Tensor | None
) -> Batch:
    image, by_distance = target.batch[edge_index[1]], is_by_distance(grapher.graph)
    firsts = torch.stack([source.ptr, target.ptr])  # (2, B + 1)
    graphs = []
    # The edges are plain tensors: torch.export cannot trace PyG's EdgeIndex, and its ToSparseTensor fails on one.
    for i in range(target.num_graphs):
        k, dilation = shrink(grapher.k, grapher.dilation, source.num_nodes_per_graph[i])
        graph = (PooledGraph if source is not target else PatchGraph)(
            edge_index=edge_index[:, image == i] - firsts[:, i : i + 1],
            pos=target.pos[target.ptr[i] : target.ptr[i + 1]],
            pos_src=source.pos[source.ptr[i] : source.ptr[i + 1]],
            k=k,
            dilation=dilation,
            reduce_ratio=grapher.reduce_ratio,
            by_distance=by_distance,  # the figures call the first source of a target the nearest only if it is
        )
        if edge_attr is not None:
            graph.edge_attr = edge_attr[image == i]
        if target.grid_sizes is not None:
            graph.grid_size = target.grid_sizes[i]
        graphs.append(graph)
    return Batch.from_data_list(graphs)
