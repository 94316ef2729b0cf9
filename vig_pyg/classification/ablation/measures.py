"""Measurements of a trained network, for more columns of an ablation."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from vig_pyg.classification.data import ImageData
from vig_pyg.explain import graph_gaps
from vig_pyg.models import VisionGNN

#: Validation images whose graphs are measured.
IMAGES = 4
#: Most patches of a layer; the eigenvalues of a larger graph would take longer than the training of small networks.
PATCHES = 400


def spectral_gaps(model: VisionGNN[Any], data: ImageData) -> dict[str, float]:
    """Return the mean spectral gap of the graphs of a trained network, over its layers and a few validation images.

    Args:
        model: The network, in evaluation mode.
        data: The images.

    Returns:
        A dict with the key `spectral_gap`, or an empty one if a layer has too many patches.

    Example:
        >>> from vig_pyg import vig_micro
        >>> from vig_pyg.classification import DigitsData
        >>> model = vig_micro(in_channels=1, image_size=16, patch_size=2, num_classes=10, graph="complete").eval()
        >>> round(spectral_gaps(model, DigitsData(image_size=16))["spectral_gap"], 6)
        1.0
    """
    images = torch.stack([data.val_set[i][0] for i in range(min(IMAGES, len(data.val_set)))])
    with torch.no_grad():
        graphs = model.graphs(images)
    if not graphs or any(graph.pos.shape[0] > PATCHES * len(images) for graph in graphs):
        return {}
    return {"spectral_gap": statistics.fmean(gap for layer in graph_gaps(graphs) for gap in layer)}
