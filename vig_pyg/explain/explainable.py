"""A wrapper of a model for `torch_geometric.explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing

from vig_pyg.data import BatchLayout, to_batch
from vig_pyg.explain.fixed import fixed_graphs
from vig_pyg.models import VisionGNN


class ExplainableViG(nn.Module):
    """Wraps a model for the patches and graphs of given images, with the signature `forward(x, edge_index)`.

    `torch_geometric.explain.Explainer` applies one mask to the edges with which a model is called. Here these are the
    concatenated edges of all layers, so every edge of every layer has its own weight, and `split` splits a mask by
    layer. The weight multiplies the message (PyG's `explain_message`). The graphs are those of the original images; a
    mask on the features does not change them.

    Args:
        model: A model in evaluation mode whose operators are PyG `MessagePassing` modules. A copy of `fuse()`
            gives the same result up to rounding.
        images: Images, as for the model.

    Shapes: `x (N, C)` (`self.x`) and `edge_index (2, E_1 + E_2 + ...)` (`self.edge_index`) to logits
    `(B, num_classes)`. The edges of a layer index the nodes of its own stage.

    Raises:
        ValueError: If the model is in training mode, or an operator is not a `MessagePassing` module.

    Example:
        >>> from vig_pyg import vig_micro
        >>> explained = ExplainableViG(vig_micro().eval(), torch.rand(2, 3, 32, 32))
        >>> explained(explained.x, explained.edge_index).shape
        torch.Size([2, 1000])
    """

    def __init__(self, model: VisionGNN[Any], images: Tensor | list[Tensor]) -> None:
        super().__init__()
        if model.training:
            raise ValueError("The model is in training mode, in which batch norm mixes images: call model.eval().")
        for i, grapher in enumerate(model.graphers()):
            if not any(isinstance(module, MessagePassing) for module in grapher.conv.modules()):
                raise ValueError(
                    f"The operator {type(grapher.conv).__name__} of layer {i + 1} contains "
                    "no torch_geometric.nn.MessagePassing, so its edges cannot have weights."
                )
        self.model = model
        # An Explainer restores the mode of this module, and applies it to the model, which is in evaluation mode.
        self.eval()
        with torch.no_grad():
            patches = model.embed(images)
        self.layout = BatchLayout.from_batch(patches)
        self.graphs: list[Batch] = model.graphs(patches)
        self.x: Tensor = patches.x
        self.edge_index = torch.cat([graph.edge_index for graph in self.graphs], dim=1)

    @property
    def counts(self) -> list[int]:
        """Number of edges of each layer."""
        return [graph.edge_index.size(1) for graph in self.graphs]

    def split(self, mask: Tensor) -> list[Tensor]:
        """Split the values of all edges into one tensor per layer.

        Args:
            mask: One value per edge of all layers, `(E_1 + E_2 + ...,)`.

        Returns:
            One tensor `(E_l,)` per layer.
        """
        return list(mask.split(self.counts))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        total = sum(self.counts)
        if edge_index.size(1) != total:
            raise ValueError(f"Expected the edges of all layers (2, {total}), got {tuple(edge_index.shape)}.")
        edges = edge_index.split(self.counts, dim=1)
        attrs = [graph.edge_attr if "edge_attr" in graph else None for graph in self.graphs]
        with fixed_graphs(self.model, edges, attrs), _sliced_masks(self.model, self.counts):
            return self.model.forward_head(self.model.forward_features(to_batch(x, self.layout)))


@contextmanager
def _sliced_masks(model: VisionGNN[Any], counts: Sequence[int]) -> Iterator[None]:
    """A context in which each layer uses its own part of PyG's edge mask."""
    changed: list[MessagePassing] = []
    try:
        for grapher, end, count in zip(model.graphers(), accumulate(counts), counts, strict=True):
            for module in grapher.conv.modules():
                if isinstance(module, MessagePassing):
                    # an instance attribute overrides the method of the class
                    module.explain_message = MethodType(_explain_message(slice(end - count, end)), module)
                    changed.append(module)
        yield
    finally:
        for module in changed:
            del module.explain_message


def _explain_message(part: slice) -> Callable[..., Tensor]:
    """Create a replacement of PyG's `explain_message` that uses the part of the mask for one layer."""

    def explain_message(conv: MessagePassing, inputs: Tensor, dim_size: int | None) -> Tensor:
        assert conv._edge_mask is not None and conv._loop_mask is not None
        mask, not_loop = conv._edge_mask[part], conv._loop_mask[part]
        if conv._apply_sigmoid:
            mask = mask.sigmoid()
        if inputs.size(conv.node_dim) != mask.size(0):  # the operator has appended self-loops, which get weight 1
            assert dim_size is not None
            mask = torch.cat([mask[not_loop], mask.new_ones(dim_size)])
        shape = [1] * inputs.dim()
        shape[conv.node_dim] = -1
        return inputs * mask.view(shape)

    return explain_message
