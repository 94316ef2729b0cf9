"""Attribution of a logit to patches and edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from vig_pyg.explain.explainable import ExplainableViG
from vig_pyg.models import VisionGNN


@dataclass(frozen=True)
class Attribution:
    """The result of `attribute`.

    Args:
        target: Index of the class whose logit was attributed.
        patches: Score of each patch on the grid after the stem, `(H, W)`.
        edges: Score of each edge: one tensor `(E,)` per layer, in the order of `graphs[layer].edge_index`.
        graphs: The graphs, as `model.graphs` returns them.

    Shapes: patches `(H, W)`; edges `(E,)` for each layer.

    Example:
        >>> Attribution(target=7, patches=torch.zeros(8, 8), edges=[], graphs=[]).target
        7
    """

    target: int
    patches: Tensor
    edges: list[Tensor]
    graphs: list[Batch]


def attribute(model: VisionGNN[Any], image: Tensor, target: int | None = None) -> Attribution:
    r"""Attribute one logit to each patch, and to each edge of each layer, by gradients.

    .. math:: a_i = \sum_c x_{ic} \frac{\partial z}{\partial x_{ic}}, \qquad
        a_{ij} = \frac{\partial z}{\partial w_{ij}} \Big|_{w = 1}

    where x are the patches after stem and position embedding, z is the logit, and w are weights on the messages
    (gradient x input, arXiv 1605.01713; weights on messages as in GNNExplainer, arXiv 1903.03894). To first order, both
    scores are the decrease of the logit if the features of a patch, or a message, are scaled to 0. So a positive score
    supports the class. The neighbor search is not differentiable, so the scores do not include the effect of changes of
    the graph. If the aggregation is a maximum, only edges that attain the maximum in some channel have a nonzero score.
    If several edges attain it, `MaxRelativeConv` assigns the score to the first one; other operators may divide the
    score.

    Args:
        model: A model in evaluation mode whose operators are PyG `MessagePassing` modules. A copy of `fuse()`
            gives the same result up to rounding.
        image: One image `(C, H, W)`, preprocessed for the model.
        target: Index of the class; by default the class with the largest logit.

    Shapes: image `(C, H, W)` to patch scores `(h, w)` and, for each layer, edge scores `(E,)`.

    Raises:
        ValueError: If the model is in training mode, if there is more than one image, if an operator is not a
            `MessagePassing` module, or if there is no such class.

    Example:
        >>> from vig_pyg import vig_micro
        >>> found = attribute(vig_micro().eval(), torch.rand(3, 32, 32), target=7)
        >>> found.patches.shape, len(found.edges)
        (torch.Size([8, 8]), 4)
    """
    if image.dim() != 3:
        raise ValueError(f"Expected one image (C, H, W), got {tuple(image.shape)}.")
    explained = ExplainableViG(model, image[None])
    x = explained.x.requires_grad_()
    weights = torch.ones(explained.edge_index.size(1), dtype=x.dtype, device=x.device, requires_grad=True)
    with torch.enable_grad():
        try:
            set_masks(explained, weights, explained.edge_index, apply_sigmoid=False)
            logits = explained(x, explained.edge_index)[0]
        finally:
            clear_masks(explained)
        if target is None:
            target = int(logits.argmax())
        if not 0 <= target < len(logits):
            raise ValueError(f"target is a class from 0 to {len(logits) - 1}, got {target}.")
        gradients = torch.autograd.grad(logits[target], (x, weights))
    patches = (gradients[0] * x).sum(1).detach()
    (grid_size,) = explained.layout.grid_sizes or ()
    return Attribution(target, patches.view(grid_size), explained.split(gradients[1]), explained.graphs)
