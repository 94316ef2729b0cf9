"""Anchors and region pooling with the true strides of the backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

#: Pixels by which anchors in the padding are moved, so that clipping at the image border removes their proposals.
FAR = 1e5


class StrideAnchors(AnchorGenerator):
    """Anchors at given strides.

    torchvision computes the stride as the padded size divided by the size of the map. This is wrong if the size of a
    map was rounded up (25 cells to 13). The anchors on coarse maps then depend on the padding, and thereby on the other
    images of the batch.

    Args:
        sizes: Side lengths of the anchors of each map, in pixels of the resized image.
        aspect_ratios: Ratios of height to width, the same for all maps.
        strides: Stride of each map: the number of pixels per cell.

    Example:
        >>> StrideAnchors(((32,), (64,)), (1.0,), (8, 16)).num_anchors_per_location()
        [1, 1]
    """

    def __init__(self, sizes: Sequence[Sequence[int]], aspect_ratios: Sequence[float], strides: Sequence[int]) -> None:
        super().__init__(tuple(tuple(part) for part in sizes), (tuple(aspect_ratios),) * len(sizes))
        self.strides = tuple(strides)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Return the anchors of each image, `(A, 4)`, map by map; anchors in the padding are moved far outside."""
        dtype, device = feature_maps[0].dtype, feature_maps[0].device
        # Bfloat16 cannot represent sizes such as 1333.
        self.set_cell_anchors(torch.promote_types(dtype, torch.float32), device)
        strides = [[torch.tensor(stride, device=device)] * 2 for stride in self.strides]
        grids: list[list[int]] = [list(m.shape[-2:]) for m in feature_maps]
        anchors = self.grid_anchors(grids, strides)
        return [self._of_image(anchors, grids, size) for size in image_list.image_sizes]

    def _of_image(self, anchors: list[Tensor], grids: list[list[int]], size: tuple[int, int]) -> Tensor:
        parts = []
        for part, (rows, columns), stride in zip(anchors, grids, self.strides, strict=True):
            cells = part.view(rows, columns, -1, 4)
            inside = [-(-side // stride) for side in size]
            if inside != [rows, columns]:
                cells = cells.clone()
                cells[inside[0] :] += FAR
                cells[:, inside[1] :] += FAR
            parts.append(cells.view(-1, 4))
        return torch.cat(parts)


class RegionPool(MultiScaleRoIAlign):
    """Pooling of regions with given strides, for images that are smaller than their padded maps.

    torchvision estimates the strides from the first batch. The estimate is wrong if an image is much smaller than the
    multiple of 32 to which its maps are padded. torchvision also mixes zeros of the padding into regions at the border.
    Here the last cells of an image are repeated beyond its border, as at the border of an unpadded map.

    Args:
        strides: Number of pixels per cell of the maps `"0"`, `"1"`, ...
        output_size: Number of cells per side of a pooled region.

    Example:
        >>> RegionPool((4, 8), 7).scales
        [0.25, 0.125]
    """

    def __init__(self, strides: Sequence[int], output_size: int) -> None:
        super().__init__([str(i) for i in range(len(strides))], output_size, sampling_ratio=2)
        self.scales = [1 / stride for stride in strides]
        first, last = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
        self.map_levels = LevelMapper(first, last, self.canonical_scale, self.canonical_level)
        self.strides = tuple(strides)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        maps = {str(i): _continued(x[str(i)], stride, image_shapes) for i, stride in enumerate(self.strides)}
        out: Tensor = super().forward(maps, boxes, image_shapes)
        return out


def _continued(maps: Tensor, stride: int, sizes: list[tuple[int, int]]) -> Tensor:
    """Return maps `(B, C, H, W)` in which the cell after the last cell of each image is a copy of the last cell."""
    ends = [[-(-side // stride) for side in size] for size in sizes]
    if all(end == list(maps.shape[2:]) for end in ends):
        return maps
    maps = maps.clone()
    for i, (row, column) in enumerate(ends):
        if row < maps.size(2):
            maps[i, :, row] = maps[i, :, row - 1].clone()
        if column < maps.size(3):
            maps[i, :, :, column] = maps[i, :, :, column - 1].clone()
    return maps
