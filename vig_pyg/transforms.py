"""PyG transforms that convert one image into a graph, for `T.Compose` and PyG's `DataLoader`.

The blocks of an isotropic ViG accept batches of such graphs, after a linear layer has mapped the nodes to the width of
the blocks. The blocks build their own graph from the features. The `edge_index` of these transforms is for
visualization and for PyG's own layers.

Example:
    >>> import torch
    >>> from torch_geometric.loader import DataLoader
    >>> from vig_pyg import vig_micro
    >>> to_graph = ImageToPatchGraph(4, k=9)
    >>> loader = DataLoader([to_graph(torch.rand(3, 32, size)) for size in (32, 48)], batch_size=2)
    >>> model, width = vig_micro(num_classes=10).eval(), torch.nn.Linear(3 * 4 * 4, 64)
    >>> for batch in loader:
    ...     batch.x = width(batch.x)
    ...     model.forward_head(model.forward_features(batch)).shape
    torch.Size([2, 10])
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, ToSLIC
from torch_geometric.utils import grid, remove_self_loops, to_undirected

from vig_pyg._requirements import missing_message
from vig_pyg.data import BatchLayout
from vig_pyg.graph import Builder, DilatedKNN, split_edges
from vig_pyg.graph.cluster import cluster_neighbors

__all__ = ["ImageToPatchGraph", "ToSuperpixelGraph"]

DEFAULT_K = 9


class ImageToPatchGraph(BaseTransform):
    """Converts an image into a graph of square patches that do not overlap.

    Args:
        patch_size: Side length of a patch in pixels, at least 1.
        k: Number of neighbors of each patch, including itself, for `edges="knn"` only. The published value, 9, is the
            default.
        dilation: Spacing of the neighbors (see `DilatedKNN`), for `edges="knn"` only.
        edges: `"knn"` connects patches with similar pixels by `DilatedKNN`, over L2-normalized features. `"grid"`
            connects each patch with the up to eight patches around it, but not with itself. A `vig_pyg.graph.Builder`
            is called to create the edges. `None` creates no edges and avoids the search, which is unnecessary if only
            ViG blocks follow.

    Shapes: a float image `(C, H, W)` to `Data` with `x (N, C * patch_size ** 2)` (the pixels of each patch, one channel
    after another), `pos (N, 2)` (row and column in patches), `edge_index (2, E)` (row 0 neighbors, row 1 centers,
    sorted by center) and the pair `grid_size`. The N = H W / patch_size² nodes are in raster order.

    Raises:
        ValueError: If an option is unknown or has no effect, if the image has another shape or dtype, if a pixel is not
            finite, or if `patch_size` does not divide the height and the width. (Pixels are never cropped or padded.)

    Example:
        >>> ImageToPatchGraph(8, k=4)(torch.rand(3, 32, 48))
        Data(x=[24, 192], edge_index=[2, 96], pos=[24, 2], grid_size=[2])
    """

    def __init__(
        self,
        patch_size: int,
        k: int | None = None,
        *,
        dilation: int = 1,
        edges: Literal["knn", "grid"] | Builder | None = "knn",
    ) -> None:
        if patch_size < 1:
            raise ValueError(f"patch_size must be at least 1, got {patch_size}.")
        _check_edges(edges, ("knn", "grid"), k=k, dilation=None if dilation == 1 else dilation)
        self.patch_size = patch_size
        self.edges = edges
        knn = DilatedKNN(DEFAULT_K if k is None else k, dilation)
        self._builder: Builder | None = knn if edges == "knn" else None if isinstance(edges, str) else edges

    def forward(self, data: Any) -> Data:
        image, size = _checked(data), self.patch_size
        channels, height, width = image.shape
        if height % size or width % size:
            fits = f"{height // size * size} x {width // size * size}"
            advice = (
                f"crop to {fits}, resize or pad" if min(height, width) >= size else "resize, or use smaller patches"
            )
            raise ValueError(f"patch_size={size} does not divide an image of {height} x {width} pixels: {advice}.")
        h, w = height // size, width // size
        tiles = image.reshape(channels, h, size, w, size)
        x = tiles.permute(1, 3, 0, 2, 4).reshape(h * w, -1)  # (C, h, p, w, p) -> (N, C p p)
        layout = BatchLayout.from_sizes([(h, w)], image.device)
        edge_index = edge_attr = None
        if self.edges == "grid":  # the edges are symmetric, so flipping the rows sorts them by center
            edge_index = remove_self_loops(grid(h, w, device=image.device)[0])[0].flip(0)
        elif self._builder is not None:
            edge_index, edge_attr = split_edges(self._builder(x, layout, x, layout))
        return Data(x=x, edge_index=edge_index, edge_attr=edge_attr, pos=layout.pos, grid_size=(h, w))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(patch_size={self.patch_size}, edges={self._builder or self.edges!r})"


class ToSuperpixelGraph(BaseTransform):
    """Converts an image into a graph of superpixels, which are regions of similar pixels found by SLIC.

    SLIC is k-means over color and position (Achanta et al., 2012, doi 10.1109/TPAMI.2012.120). The implementation is
    that of scikit-image, which the extra `superpixels` installs.

    *Differs* from `torch_geometric.transforms.ToSLIC`, on which it is based, in three points. The graph has edges.
    `pos` is (row, column), as in all of vig_pyg, and not (x, y). Images for which SLIC silently gives wrong regions
    (integers, pixels outside [0, 1], NaN) raise an error.

    Args:
        num_segments: Approximate number of regions, at least 1. SLIC finds about as many in a photo, and far fewer in
            noise, because it merges scattered pixels.
        compactness: Weight of position relative to color. A higher value gives squarer regions. The default 10 is that
            of scikit-image.
        edges: `"adjacency"` connects regions that share the side of a pixel. `"knn"` connects each region with the k
            regions whose centers are nearest, including itself. `None` creates no edges.
        k: Number of neighbors for `edges="knn"` only; the default is 9.
        add_seg: If true, the region of each pixel is stored as `seg`, for drawing. All images of a batch must then have
            the same size.

    Shapes: a float image `(C, H, W)` in [0, 1] to `Data` with the mean colors `x (N, C)`, the centers `pos (N, 2)`
    (row, column) in pixels, `edge_index (2, E)` (row 0 neighbors, row 1 centers, sorted by center), and with `add_seg`
    the regions `seg (1, H, W)`. The graph has no grid, so isotropic ViG blocks accept it, but a Pyramid ViG does not.

    Raises:
        ImportError: If scikit-image is not installed.
        ValueError: If an option is unknown or has no effect, or the image has another shape, dtype or range.

    Example:
        >>> ramp = torch.linspace(0, 1, 32).expand(3, 32, 32)
        >>> ToSuperpixelGraph(num_segments=16)(ramp)
        Data(x=[16, 3], edge_index=[2, 48], pos=[16, 2])
    """

    def __init__(
        self,
        num_segments: int = 100,
        compactness: float = 10.0,
        *,
        edges: Literal["adjacency", "knn"] | None = "adjacency",
        k: int | None = None,
        add_seg: bool = False,
    ) -> None:
        if find_spec("skimage") is None:
            raise ImportError(missing_message("Superpixels need scikit-image", "superpixels"))
        if num_segments < 1 or not compactness > 0:
            raise ValueError(
                f"num_segments must be at least 1 and compactness above 0, got {num_segments} and {compactness}."
            )
        if edges is not None and not isinstance(edges, str):
            raise ValueError(f"edges must be 'adjacency', 'knn' or None, got {edges!r}.")
        _check_edges(edges, ("adjacency", "knn"), k=k)
        self.num_segments = num_segments
        self.compactness = compactness
        self.edges = edges
        self.k = DEFAULT_K if k is None else k
        self.add_seg = add_seg
        self._slic = ToSLIC(add_seg=True, n_segments=num_segments, compactness=compactness)

    def forward(self, data: Any) -> Data:
        image = _checked(data)
        low, high = image.min().item(), image.max().item()
        if low < 0 or high > 1:
            raise ValueError(
                f"Expected pixels in [0, 1], got {low:.3g} to {high:.3g}: SLIC compares colors, so apply it before "
                "any normalization."
            )
        slic = self._slic(image.detach().cpu().contiguous())  # PyG's code needs contiguous memory
        pos = slic.pos.flip(1)  # (x, y) -> (row, column)
        edge_index = None
        if self.edges == "adjacency":
            edge_index = _touching(slic.seg[0])
        elif self.edges == "knn":
            first = torch.tensor([0, len(pos)])
            layout = BatchLayout(pos, torch.zeros(len(pos), dtype=torch.long), first, (len(pos),), None)
            edge_index = cluster_neighbors(pos, layout, pos, layout, min(self.k, len(pos)), None)
        seg = slic.seg if self.add_seg else None
        return Data(x=slic.x, edge_index=edge_index, pos=pos, seg=seg).to(image.device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_segments={self.num_segments}, edges={self.edges!r})"


def _check_edges(edges: object, names: tuple[str, ...], **search: int | None) -> None:
    """Raise `ValueError` for an unknown name, and for options of the search if there is no search."""
    if edges is not None and edges not in names and (isinstance(edges, str) or not callable(edges)):
        raise ValueError(f"Unknown edges {edges!r}: choose one of {', '.join(map(repr, names))}, or None.")
    for name, value in search.items():
        if value is not None and edges != "knn":
            raise ValueError(f"{name}={value} has no effect with edges={edges!r}: leave it out, or use 'knn'.")
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")


def _checked(image: object) -> Tensor:
    """Return the image after checking its type, shape, dtype and values."""
    if not isinstance(image, Tensor):
        raise ValueError(
            f"Expected one image as a tensor (C, H, W), got {type(image).__name__}: "
            "for a PIL image, apply torchvision's ToTensor() first."
        )
    if image.dim() != 3 or image.numel() == 0:
        hint = ": transforms take images one by one" if image.dim() == 4 else ""
        raise ValueError(f"Expected one image (C, H, W) with at least one pixel, got {tuple(image.shape)}{hint}.")
    if not image.is_floating_point():
        raise ValueError(f"Expected an image of floats, got {image.dtype}: divide uint8 pixels by 255.")
    if not image.isfinite().all():
        raise ValueError("A pixel of the image is not finite (NaN or infinity): check how it was loaded.")
    return image


def _touching(seg: Tensor) -> Tensor:
    """Return the pairs of regions that share the side of a pixel, once in each direction; `seg` is `(H, W)`."""
    across = torch.stack([seg[:, :-1].flatten(), seg[:, 1:].flatten()])
    down = torch.stack([seg[:-1].flatten(), seg[1:].flatten()])
    pairs = torch.cat([across, down], dim=1)
    both: Tensor = to_undirected(pairs[:, pairs[0] != pairs[1]], num_nodes=int(seg.max()) + 1)
    return both.flip(0)  # the edges are symmetric, so flipping the rows sorts them by center
