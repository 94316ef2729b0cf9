"""The check that no edge connects two images of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.data import BatchLayout


def crossing_edges(edge_index: Tensor, layout: BatchLayout, layout_src: BatchLayout) -> Tensor:
    """Return for each edge whether its source and its target are in two images.

    Example:
        >>> layout = BatchLayout.from_sizes([(1, 2), (1, 2)])
        >>> crossing_edges(torch.tensor([[1, 2], [0, 0]]), layout, layout).tolist()
        [False, True]
    """
    return _images(edge_index[0], layout_src) != _images(edge_index[1], layout)


def refuse_crossing(edge_index: Tensor, layout: BatchLayout, layout_src: BatchLayout, owner: str) -> ValueError:
    """Return the error about edges that connect two images, with their number and the first of them.

    Args:
        edge_index: As for `crossing_edges`, with at least one edge that connects two images.

    Example:
        >>> layout = BatchLayout.from_sizes([(1, 1), (1, 1)])
        >>> print(str(refuse_crossing(torch.tensor([[0], [1]]), layout, layout, "The graph builder Far"))[:77])
        The graph builder Far mixes the images of a batch: 1 edge connects two images
    """
    places = crossing_edges(edge_index, layout, layout_src).nonzero().flatten()
    count, edge = len(places), edge_index[:, places[0]]
    source, target = edge.tolist()
    images = int(_images(edge[:1], layout_src)), int(_images(edge[1:], layout))
    connect = "1 edge connects two images" if count == 1 else f"{count} edges connect two images"
    return ValueError(
        f"{owner} mixes the images of a batch: {connect} (of {edge_index.size(1)} edges), such as the one from source "
        f"{source} of image {images[0]} to target {target} of image {images[1]}. Choose the sources of each target "
        "among those of its image: layout_src.ptr has the first source of each image, and layout.batch has the image "
        "of each target. vig_pyg.testing.assert_builder checks a builder."
    )


def _images(nodes: Tensor, layout: BatchLayout) -> Tensor:
    """Return the image of each node."""
    if layout.is_regular:  # without a tensor of all nodes
        return torch.div(nodes, layout.distinct_num_nodes[0], rounding_mode="floor")
    return layout.batch[nodes]
